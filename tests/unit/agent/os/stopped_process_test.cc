#include "agent/os/stopped_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

using test::IsOk;
using ::testing::HasSubstr;

constexpr int kRightExit = 7;

// A child that has a file open, waits in read(2), and ends with kRightExit when it gets a byte: a
// call that was interrupted by all this has then gone on.
class StoppedProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    child_ = ::fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) {
      ::alarm(60);
      char byte = 0;
      ::_exit(::read(pipe_.read_end.get(), &byte, 1) == 1 && byte == 'x' ? kRightExit : 1);
    }
    WaitForState('S');
  }

  void TearDown() override {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }

  void WaitForState(char state) {
    for (int i = 0; i < 5000; ++i) {
      const Result<ProcessInfo> info = ReadProcessInfo(child_);
      if (info.ok() && info->state == state) return;
      ::usleep(1000);
    }
    FAIL() << "the child does not come into state " << state;
  }

  void Stop() {
    ASSERT_EQ(::kill(child_, SIGSTOP), 0);
    WaitForState('T');
  }

  // How it ends after it may go on, with the byte that it waits for.
  int GoOn() {
    EXPECT_THAT(WriteAll(pipe_.write_end.get(), "x"), IsOk());
    EXPECT_EQ(::kill(child_, SIGCONT), 0);
    int state = 0;
    EXPECT_EQ(::waitpid(child_, &state, 0), child_);
    return WIFSIGNALED(state) ? -WTERMSIG(state) : WEXITSTATUS(state);
  }

  // Who holds byte 10 against us; 0 when nobody does.
  pid_t Holder() {
    struct flock lock = Lock();
    return ::fcntl(file_.get(), F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? lock.l_pid : 0;
  }

  static struct flock Lock() {
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = 10;
    lock.l_len = 1;
    return lock;
  }

  test::TempDirectory temp_;
  UniqueFd file_ = OpenAt(AT_FDCWD, temp_.path() / "file", O_RDWR | O_CREAT, 0600).value();
  Pipe pipe_ = MakePipe().value();
  pid_t child_ = -1;
};

TEST_F(StoppedProcessTest, TheLockBelongsToTheProcessWhichStandsAsBeforeAndThenGoesOn) {
  Stop();
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(StoppedProcess held, StoppedProcess::Hold(child_));
    EXPECT_THAT(held.SetRecordLock(file_.get(), Lock()), IsOk());
    EXPECT_THAT(held.SetRecordLock(file_.get(), Lock()), IsOk());
  }

  EXPECT_EQ(Holder(), child_);
  WaitForState('T');
  EXPECT_EQ(GoOn(), kRightExit);
}

TEST_F(StoppedProcessTest, ASignalThatWaitsIsDeliveredAfterwardsAndNotMeanwhile) {
  Stop();
  ASSERT_EQ(::kill(child_, SIGTERM), 0);
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(StoppedProcess held, StoppedProcess::Hold(child_));
    EXPECT_THAT(held.SetRecordLock(file_.get(), Lock()), IsOk());
  }

  EXPECT_EQ(Holder(), child_);
  EXPECT_EQ(GoOn(), -SIGTERM);
}

TEST_F(StoppedProcessTest, ALockThatSomebodyHasIsAnErrorAndChangesNothing) {
  struct flock lock = Lock();
  ASSERT_EQ(::fcntl(file_.get(), F_SETLK, &lock), 0);
  Stop();
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(StoppedProcess held, StoppedProcess::Hold(child_));
    EXPECT_FALSE(held.SetRecordLock(file_.get(), Lock()).ok());
    EXPECT_FALSE(held.SetRecordLock(9999, Lock()).ok());
  }

  EXPECT_EQ(GoOn(), kRightExit);
}

// As CRIU holds what it restores, one that was stopped at the cut with the signal that it has sent.
TEST_F(StoppedProcessTest, OneThatWeTraceStaysSoAndKeepsTheStopThatWaits) {
  for (const bool has_stop : {false, true}) {
    ASSERT_EQ(::ptrace(PTRACE_SEIZE, child_, 0, PTRACE_O_TRACESYSGOOD), 0);
    ASSERT_EQ(::ptrace(PTRACE_INTERRUPT, child_, 0, 0), 0);
    ASSERT_THAT(WaitForStop(child_, test::Soon()), IsOk());
    if (has_stop) {
      ASSERT_EQ(::kill(child_, SIGSTOP), 0);
    }

    CRYOPOD_ASSERT_OK_AND_ASSIGN(StoppedProcess held, StoppedProcess::Hold(child_));
    EXPECT_THAT(held.SetRecordLock(file_.get(), Lock()), IsOk());

    EXPECT_EQ(Holder(), child_);
    ASSERT_EQ(::ptrace(PTRACE_DETACH, child_, 0, 0), 0);
    WaitForState(has_stop ? 'T' : 'S');
  }
  EXPECT_EQ(GoOn(), kRightExit);
}

TEST_F(StoppedProcessTest, AProcessThatRunsIsLeftAlone) {
  EXPECT_THAT(StoppedProcess::Hold(child_),
              test::StatusIs(Code::kFailedPrecondition, HasSubstr("does not stand still")));
}

}  // namespace
}  // namespace cryopod
