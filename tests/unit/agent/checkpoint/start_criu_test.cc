#include "agent/checkpoint/start_criu.h"

#include "agent/os/subprocess.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/agent/criu/fake_criu_fixture.h"

namespace cryopod::checkpoint {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;

using StartedCriuTest = criu::test::FakeCriuFixture;

TEST_F(StartedCriuTest, TellsTheVersionAndHasAProcessForEachContainer) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(StartedCriu started, StartedCriu::Start(Criu("criu"), "", 3));

  const Result<criu::Version> version = started.Check();
  const Result<std::vector<criu::CriuProcess>> crius = started.Take();

  ASSERT_THAT(version, IsOk());
  EXPECT_EQ(version->text(), "4.2.1");
  ASSERT_THAT(crius, IsOk());
  EXPECT_EQ(crius->size(), 3u);
}

TEST_F(StartedCriuTest, ASecondCaptureGetsNewProcesses) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(StartedCriu started, StartedCriu::Start(Criu("criu"), "", 1));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<criu::CriuProcess> first, started.Take());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<criu::CriuProcess> second, started.Take());

  ASSERT_EQ(second.size(), 1u);
  EXPECT_NE(second[0].pid(), first[0].pid());
}

TEST_F(StartedCriuTest, AnOldCriuIsRefusedWithBothVersions) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(StartedCriu started, StartedCriu::Start(Criu("criu-old"), "", 1));

  EXPECT_THAT(started.Check(),
              StatusIs(Code::kFailedPrecondition, AllOf(HasSubstr("3.17.1"), HasSubstr("4.1"))));
}

TEST_F(StartedCriuTest, AnAbsentProgramIsNamedWithThePackage) {
  EXPECT_THAT(StartedCriu::Start("/nowhere/criu", "", 1),
              StatusIs(Code::kNotFound, AllOf(HasSubstr("/nowhere/criu"), HasSubstr("package"))));
}

TEST_F(StartedCriuTest, WhatNobodyTookEndsByItself) {
  UniqueFd pidfd;
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(StartedCriu started, StartedCriu::Start(Criu("criu"), "", 1));
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<criu::CriuProcess> crius, started.Take());
    CRYOPOD_ASSERT_OK_AND_ASSIGN(pidfd, OpenPidfd(crius[0].pid()));
  }

  EXPECT_TRUE(PidfdEnded(pidfd.get(), Deadline::After(seconds(20))));
}

}  // namespace
}  // namespace cryopod::checkpoint
