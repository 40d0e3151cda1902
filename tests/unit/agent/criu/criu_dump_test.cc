#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>

#include "agent/criu/criu_client.h"
#include "agent/criu/proto/rpc.pb.h"
#include "agent/os/file.h"
#include "agent/os/subprocess.h"
#include "fake_criu_fixture.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Dumps with a fake criu into two directories of its own.
class CriuDumpTest : public test::FakeCriuFixture {
 protected:
  static constexpr Patience kShort{milliseconds(100), milliseconds(200)};

  void SetUp() override {
    Result<UniqueFd> images = OpenDirectory(images_.path());
    Result<UniqueFd> work = OpenDirectory(work_.path());
    ASSERT_THAT(images, IsOk());
    ASSERT_THAT(work, IsOk());
    images_fd_ = std::move(images).value();
    work_fd_ = std::move(work).value();
    options_.pid = 4711;
    options_.root = "/run/c/rootfs";
  }

  Status Dump(const std::string& behaviour, milliseconds limit = seconds(10),
              Patience patience = {}) {
    Result<CriuProcess> process = CriuProcess::Spawn(Criu(behaviour), patience);
    if (!process.ok()) return process.status();
    pid_ = process->pid();
    CRYOPOD_RETURN_IF_ERROR(
        process->Park(options_, images_fd_.get(), work_fd_.get(), Deadline::After(seconds(10))));
    const Status dumped = process->Dump(Deadline::After(limit));
    process->Finish();
    return dumped;
  }

  std::string Circumstances() { return cryopod::test::ReadText(work_.path() / "circumstances"); }
  bool IsGone() const { return ::kill(pid_, 0) == -1 && errno == ESRCH; }

  cryopod::test::TempDirectory images_;
  cryopod::test::TempDirectory work_;
  UniqueFd images_fd_;
  UniqueFd work_fd_;
  DumpOptions options_;
  pid_t pid_ = 0;
};

TEST_F(CriuDumpTest, ReachesTheDirectoriesThoughTheyWereOpenedAfterTheSpawn) {
  Result<CriuProcess> process = CriuProcess::Spawn(Criu("criu"));
  ASSERT_THAT(process, IsOk());
  const cryopod::test::TempDirectory late;
  Result<UniqueFd> late_fd = OpenDirectory(late.path());
  ASSERT_THAT(late_fd, IsOk());

  const Deadline soon = Deadline::After(seconds(10));

  ASSERT_THAT(process->Park(options_, late_fd->get(), work_fd_.get(), soon), IsOk());
  ASSERT_THAT(process->Dump(soon), IsOk());
  EXPECT_EQ(cryopod::test::ReadText(late.path() / "pstree.img"), "images");
}

TEST_F(CriuDumpTest, SendsTheOptions) {
  ASSERT_THAT(Dump("criu"), IsOk());

  wire::criu_req request;
  ASSERT_TRUE(request.ParseFromString(cryopod::test::ReadText(work_.path() / "request")));
  EXPECT_EQ(request.opts().pid(), 4711);
  EXPECT_EQ(request.opts().root(), "/run/c/rootfs");
}

TEST_F(CriuDumpTest, CriuHasAnEnvironmentOfPathAloneASessionOfItsOwnAndAPrivateUmask) {
  ::setenv("CRYOPOD_TEST_SECRET", "leaks", 1);

  ASSERT_THAT(Dump("criu"), IsOk());

  EXPECT_THAT(Circumstances(), AllOf(HasSubstr("env PATH="), Not(HasSubstr("CRYOPOD_TEST")),
                                     HasSubstr("session own"), HasSubstr("umask 63")));
}

TEST_F(CriuDumpTest, CriuInheritsNoDescriptorButItsSocket) {
  ASSERT_THAT(Dump("criu"), IsOk());

  EXPECT_THAT(Circumstances(), AllOf(HasSubstr("fd 0 /dev/null"), HasSubstr("fd 1 /dev/null"),
                                     HasSubstr("fd 2 /dev/null"), HasSubstr("fd 3 socket:"),
                                     Not(HasSubstr("fd 4 "))));
}

TEST_F(CriuDumpTest, AFailureIsReportedWithTheReasonOutOfTheLog) {
  EXPECT_THAT(Dump("criu-fails"), StatusIs(Code::kFailedPrecondition, HasSubstr("io_uring")));
  EXPECT_TRUE(IsGone());
}

TEST_F(CriuDumpTest, AFailureWithoutALogIsReportedWithTheAnswerPrintedHarmlessly) {
  EXPECT_THAT(Dump("criu-silent"),
              StatusIs(Code::kUnknown, HasSubstr("something at?[31m the start")));
}

TEST_F(CriuDumpTest, ACriuThatDiesInsideTheDumpIsReportedWithItsSignal) {
  EXPECT_THAT(Dump("criu-dies"), StatusIs(Code::kUnavailable, HasSubstr("signal 9")));
  EXPECT_TRUE(IsGone());
}

TEST_F(CriuDumpTest, AnAnswerThatIsGarbageIsNoSuccess) {
  EXPECT_THAT(Dump("criu-garbage"), StatusIs(Code::kDataLoss));
}

TEST_F(CriuDumpTest, ACriuThatEndedBeforeItWasAskedIsReported) {
  Result<CriuProcess> process = CriuProcess::Spawn("/bin/true");
  ASSERT_THAT(process, IsOk());
  ASSERT_TRUE(PidfdEnded(process->pidfd(), Deadline::After(seconds(5))));

  const Status parked =
      process->Park(options_, images_fd_.get(), work_fd_.get(), Deadline::After(seconds(5)));

  EXPECT_THAT(parked, StatusIs(Code::kUnavailable));
}

TEST_F(CriuDumpTest, IsUsedOnlyOnce) {
  Result<CriuProcess> process = CriuProcess::Spawn(Criu("criu"));
  ASSERT_THAT(process, IsOk());
  const Deadline soon = Deadline::After(seconds(10));
  EXPECT_THAT(process->Dump(soon), StatusIs(Code::kFailedPrecondition, HasSubstr("not parked")));
  ASSERT_THAT(process->Park(options_, images_fd_.get(), work_fd_.get(), soon), IsOk());
  EXPECT_THAT(process->Park(options_, images_fd_.get(), work_fd_.get(), soon),
              StatusIs(Code::kFailedPrecondition));
  ASSERT_THAT(process->Dump(soon), IsOk());

  EXPECT_THAT(process->Dump(soon), StatusIs(Code::kFailedPrecondition));
}

TEST_F(CriuDumpTest, AParkedCriuHasDumpedNothingAndIsGoneAfterDiscard) {
  Result<CriuProcess> process = CriuProcess::Spawn(Criu("criu"));
  ASSERT_THAT(process, IsOk());
  pid_ = process->pid();
  ASSERT_THAT(
      process->Park(options_, images_fd_.get(), work_fd_.get(), Deadline::After(seconds(10))),
      IsOk());

  process->Discard();

  EXPECT_TRUE(IsGone());
  EXPECT_FALSE(std::filesystem::exists(images_.path() / "pstree.img"));
}

TEST_F(CriuDumpTest, ACriuThatRefusesTheRequestIsReportedBeforeAnythingIsFrozen) {
  Result<CriuProcess> process = CriuProcess::Spawn(Criu("criu-refuses"));
  ASSERT_THAT(process, IsOk());

  EXPECT_THAT(
      process->Park(options_, images_fd_.get(), work_fd_.get(), Deadline::After(seconds(10))),
      StatusIs(Code::kUnknown, HasSubstr("images directory is gone")));
}

TEST_F(CriuDumpTest, ADumpIsDoneBeforeItsCriuHasEnded) {
  Result<CriuProcess> process = CriuProcess::Spawn(Criu("criu-lingers"));
  ASSERT_THAT(process, IsOk());
  pid_ = process->pid();
  const Deadline soon = Deadline::After(seconds(10));
  ASSERT_THAT(process->Park(options_, images_fd_.get(), work_fd_.get(), soon), IsOk());

  ASSERT_THAT(process->Dump(soon), IsOk());
  EXPECT_FALSE(PidfdEnded(process->pidfd(), Deadline::After(milliseconds(0))));
  process->Finish();

  EXPECT_TRUE(IsGone());
}

TEST_F(CriuDumpTest, ADumpThatIsLateIsLeftToEndByItself) {
  const Status dump = Dump("criu-late", milliseconds(50), {seconds(5), seconds(5)});

  EXPECT_THAT(dump, StatusIs(Code::kDeadlineExceeded, HasSubstr("ended by itself")));
  EXPECT_TRUE(IsGone());
}

TEST_F(CriuDumpTest, ADumpThatHangsIsStoppedWithSigtermAfterItsGrace) {
  const auto start = std::chrono::steady_clock::now();

  const Status dump = Dump("criu-hangs", milliseconds(50), kShort);

  EXPECT_THAT(dump, StatusIs(Code::kDeadlineExceeded, HasSubstr("SIGTERM")));
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(150));
  EXPECT_TRUE(IsGone());
}

TEST_F(CriuDumpTest, ADumpThatIgnoresSigtermIsKilledAndThatIsReported) {
  const Status dump = Dump("criu-stubborn", milliseconds(50), kShort);

  EXPECT_THAT(dump, StatusIs(Code::kDeadlineExceeded, HasSubstr("killed")));
  EXPECT_TRUE(IsGone());
}

}  // namespace
}  // namespace cryopod::criu
