#include "agent/criu/criu_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>

#include "agent/os/subprocess.h"
#include "fake_criu_fixture.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::Soon;
using cryopod::test::StatusIs;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;

class CheckVersionTest : public test::FakeCriuFixture {
 protected:
};

TEST_F(CheckVersionTest, TellsTheVersion) {
  const Result<Version> version = CheckVersion(Criu("criu"), Soon());

  ASSERT_THAT(version, IsOk());
  EXPECT_EQ(version->text(), "4.2.1");
}

TEST_F(CheckVersionTest, RefusesAnOldCriuNamingBothVersions) {
  EXPECT_THAT(CheckVersion(Criu("criu-old"), Soon()),
              StatusIs(Code::kFailedPrecondition, AllOf(HasSubstr("3.17"), HasSubstr("4.1"))));
}

TEST_F(CheckVersionTest, AnAbsentProgramIsNamedWithThePackageToInstall) {
  EXPECT_THAT(CheckVersion("/nowhere/criu", Soon()),
              StatusIs(Code::kNotFound, AllOf(HasSubstr("/nowhere/criu"), HasSubstr("package"))));
}

TEST_F(CheckVersionTest, AProgramThatIsNoCriuIsRefused) {
  EXPECT_THAT(CheckVersion("/bin/true", Soon()),
              StatusIs(Code::kFailedPrecondition, HasSubstr("/bin/true")));
}

TEST_F(CheckVersionTest, ACriuThatDiesIsRefusedAndTellsHow) {
  EXPECT_THAT(CheckVersion(Criu("criu-dies"), Soon()),
              StatusIs(Code::kFailedPrecondition, HasSubstr("signal 9")));
}

TEST_F(CheckVersionTest, GarbageIsNoVersion) {
  EXPECT_THAT(CheckVersion(Criu("criu-garbage"), Soon()), StatusIs(Code::kDataLoss));
}

TEST_F(CheckVersionTest, AProgramThatSaysNothingEndsWithTheDeadline) {
  const cryopod::test::TempDirectory scripts;
  const std::string script = scripts.path() / "criu";
  cryopod::test::WriteText(script, "#!/bin/sh\nexec sleep 60\n");
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  const auto start = std::chrono::steady_clock::now();

  const Result<Version> version = CheckVersion(script, Deadline::After(milliseconds(200)));

  EXPECT_THAT(version, StatusIs(Code::kDeadlineExceeded));
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(5));
}

TEST_F(CheckVersionTest, ANodeThatCriuCanWorkOnPassesTheCheck) {
  EXPECT_THAT(CheckFeatures(Criu("criu"), Soon()), IsOk());
}

TEST_F(CheckVersionTest, ANodeThatCriuCannotWorkOnIsRefusedWithItsReason) {
  EXPECT_THAT(CheckFeatures(Criu("criu-unfit"), Soon()),
              StatusIs(Code::kFailedPrecondition, HasSubstr("CONFIG_CHECKPOINT")));
}

TEST_F(CheckVersionTest, AKernelThatCriuCannotMakeOutIsRefusedWithItsReason) {
  EXPECT_THAT(CheckFeatures(Criu("criu-strange-kernel"), Soon()),
              StatusIs(Code::kFailedPrecondition, HasSubstr("CONFIG_CHECKPOINT")));
}

TEST_F(CheckVersionTest, ACheckOfAnAbsentProgramSaysSo) {
  EXPECT_THAT(CheckFeatures("/nowhere/criu", Soon()), StatusIs(Code::kNotFound));
}

TEST(VersionTest, TheSublevelIsShownOnlyWhenThereIsOne) {
  EXPECT_EQ((Version{4, 2, 0}.text()), "4.2");
  EXPECT_EQ((Version{4, 1, 1}.text()), "4.1.1");
}

class ParkedCriuTest : public test::FakeCriuFixture {};

TEST_F(ParkedCriuTest, IsThereBeforeItIsAsked) {
  const Result<CriuProcess> process = CriuProcess::Spawn(Criu("criu"));

  ASSERT_THAT(process, IsOk());
  EXPECT_EQ(::kill(process->pid(), 0), 0);
  EXPECT_FALSE(PidfdEnded(process->pidfd(), Deadline::After(milliseconds(50))));
}

TEST_F(ParkedCriuTest, IsGoneAfterDiscard) {
  Result<CriuProcess> process = CriuProcess::Spawn(Criu("criu"));
  ASSERT_THAT(process, IsOk());
  const pid_t pid = process->pid();

  process->Discard();

  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST_F(ParkedCriuTest, EndsByItselfWhenItsOwnerGoes) {
  Result<UniqueFd> pidfd = Status(Code::kUnknown, "not opened");
  {
    const Result<CriuProcess> process = CriuProcess::Spawn(Criu("criu"));
    ASSERT_THAT(process, IsOk());
    pidfd = OpenPidfd(process->pid());
    ASSERT_THAT(pidfd, IsOk());
  }

  EXPECT_TRUE(PidfdEnded(pidfd->get(), Deadline::After(seconds(5))));
}

TEST_F(ParkedCriuTest, AnAbsentProgramIsFoundAbsentAtOnce) {
  EXPECT_THAT(CriuProcess::Spawn("/nowhere/criu"),
              StatusIs(Code::kNotFound, HasSubstr("/nowhere/criu")));
}

}  // namespace
}  // namespace cryopod::criu
