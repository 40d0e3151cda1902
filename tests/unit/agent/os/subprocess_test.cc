#include "agent/os/subprocess.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"

namespace cryopod {
namespace {

using std::chrono::milliseconds;
using test::IsOk;
using test::Soon;
using test::StatusIs;
using ::testing::HasSubstr;

SpawnOptions Shell(const std::string& script) {
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", script};
  return options;
}

SpawnOptions Sleep() {
  SpawnOptions options;
  options.argv = {"/bin/sleep", "60"};
  return options;
}

// Gone, not a zombie.
bool IsGone(pid_t pid) { return ::kill(pid, 0) == -1 && errno == ESRCH; }

TEST(SubprocessTest, ReportsTheExitCode) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(Shell("exit 7")));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ExitStatus exit, child.Wait(Soon()));

  EXPECT_EQ(exit.exit_code, 7);
  EXPECT_EQ(exit.signal, 0);
  EXPECT_FALSE(exit.success());
  EXPECT_EQ(exit.Describe(), "exit code 7");
  EXPECT_TRUE(IsGone(child.pid()));
}

TEST(SubprocessTest, ReportsTheSignalThatEndedIt) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(Sleep()));
  ASSERT_THAT(child.Kill(SIGTERM), IsOk());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ExitStatus exit, child.Wait(Soon()));

  EXPECT_EQ(exit.exit_code, -1);
  EXPECT_EQ(exit.signal, SIGTERM);
  EXPECT_EQ(exit.Describe(), "killed by signal 15");
}

TEST(SubprocessTest, KillsAndReapsAChildThatOutlivesItsDeadline) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(Sleep()));

  const Result<ExitStatus> exit = child.Wait(Deadline::After(milliseconds(50)));

  EXPECT_THAT(exit, StatusIs(Code::kDeadlineExceeded));
  EXPECT_TRUE(IsGone(child.pid()));
}

TEST(SubprocessTest, WaitOnlyLeavesAChildRunningThatOutlivesItsDeadline) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(Sleep()));

  EXPECT_THAT(child.WaitOnly(Deadline::After(milliseconds(50))), StatusIs(Code::kDeadlineExceeded));

  EXPECT_FALSE(IsGone(child.pid()));
  EXPECT_THAT(child.Kill(SIGKILL), IsOk());
  EXPECT_THAT(child.Wait(Soon()), IsOk());
}

TEST(SubprocessTest, AChildIsReapedOnlyOnce) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(Shell("exit 0")));
  ASSERT_THAT(child.Wait(Soon()), IsOk());

  EXPECT_THAT(child.Wait(Soon()), StatusIs(Code::kFailedPrecondition));
  EXPECT_THAT(child.Kill(SIGTERM), StatusIs(Code::kNotFound));
}

TEST(SubprocessTest, DestructionLeavesAChildRunning) {
  pid_t pid = -1;
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, Subprocess::Spawn(Sleep()));
    pid = child.pid();
  }

  EXPECT_FALSE(IsGone(pid));
  ::kill(pid, SIGKILL);
  EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
}

TEST(SubprocessTest, DestructionReapsAChildThatHasEnded) {
  pid_t pid = -1;
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, Subprocess::Spawn(Shell("exit 0")));
    pid = child.pid();
    ASSERT_TRUE(PidfdEnded(child.pidfd(), Soon()));
  }

  EXPECT_TRUE(IsGone(pid));
}

TEST(SubprocessTest, MoveAssignmentReapsWhatItHeld) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess first, Subprocess::Spawn(Shell("exit 0")));
  const pid_t first_pid = first.pid();
  ASSERT_TRUE(PidfdEnded(first.pidfd(), Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess second, Subprocess::Spawn(Shell("exit 3")));
  const pid_t second_pid = second.pid();

  first = std::move(second);

  EXPECT_TRUE(IsGone(first_pid));
  EXPECT_EQ(first.pid(), second_pid);
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ExitStatus exit, first.Wait(Soon()));
  EXPECT_EQ(exit.exit_code, 3);
}

TEST(SubprocessTest, AProgramThatIsNotThereIsAnError) {
  SpawnOptions by_path;
  by_path.argv = {"/nowhere/program"};
  SpawnOptions by_name;
  by_name.argv = {"no-such-program-anywhere"};

  EXPECT_THAT(Subprocess::Spawn(by_path),
              StatusIs(Code::kNotFound, HasSubstr("exec /nowhere/program")));
  EXPECT_THAT(Subprocess::Spawn(by_name),
              StatusIs(Code::kNotFound, HasSubstr("no-such-program-anywhere")));
  EXPECT_THAT(Subprocess::Spawn(SpawnOptions()), StatusIs(Code::kInvalidArgument));
}

TEST(SubprocessTest, AFileThatIsNoProgramIsAnError) {
  SpawnOptions options;
  options.argv = {"/etc/passwd"};

  EXPECT_THAT(Subprocess::Spawn(options), StatusIs(Code::kPermissionDenied));
  // The child that failed is reaped.
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(SubprocessTest, ManyThreadsMaySpawnAtOnce) {
  std::atomic<int> successes{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&successes] {
      for (int k = 0; k < 20; ++k) {
        Result<Subprocess> child = Subprocess::Spawn(Shell("exit 5"));
        if (!child.ok()) return;
        const Result<ExitStatus> exit = child->Wait(Soon());
        if (exit.ok() && exit->exit_code == 5) ++successes;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(successes, 8 * 20);
}

TEST(OpenPidfdTest, SeesTheEndOfAProcess) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(Sleep()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd pidfd, OpenPidfd(child.pid()));

  EXPECT_FALSE(PidfdEnded(pidfd.get(), Deadline::After(milliseconds(20))));
  ASSERT_THAT(child.Kill(SIGKILL), IsOk());
  EXPECT_TRUE(PidfdEnded(pidfd.get(), Soon()));
}

TEST(OpenPidfdTest, ADescriptorThatIsNoneIsNotAnEndedProcess) {
  EXPECT_FALSE(PidfdEnded(987, Deadline::After(milliseconds(1))));
  EXPECT_FALSE(PidfdEnded(-1, Deadline::After(milliseconds(1))));
}

TEST(OpenPidfdTest, AProcessThatIsNotThereIsNotFound) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(Shell("exit 0")));
  ASSERT_THAT(child.Wait(Soon()), IsOk());

  EXPECT_THAT(OpenPidfd(child.pid()), StatusIs(Code::kNotFound));
}

}  // namespace
}  // namespace cryopod
