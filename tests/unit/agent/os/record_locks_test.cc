#include "agent/os/record_locks.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "agent/os/cgroup.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/support/test_cgroup.h"

namespace cryopod {
namespace {

using ::testing::HasSubstr;

constexpr char kFdinfo[] =
    "pos:\t0\nflags:\t0100002\nmnt_id:\t29\n"
    "lock:\t1: POSIX  ADVISORY  READ  4711 00:2f:131 128 128\n"
    "lock:\t2: FLOCK  ADVISORY  WRITE 4711 00:2f:131 0 EOF\n"
    "lock:\t3: POSIX  ADVISORY  WRITE 4711 00:2f:131 1000 EOF\n";

TEST(HoldsLockTest, ALockIsThereWithItsKindAndItsRangeAndNoOther) {
  EXPECT_TRUE(HoldsLock(kFdinfo, {1, 3, false, 128, 1}));
  EXPECT_TRUE(HoldsLock(kFdinfo, {1, 3, true, 1000, 0}));
  EXPECT_FALSE(HoldsLock(kFdinfo, {1, 3, true, 128, 1}));
  EXPECT_FALSE(HoldsLock(kFdinfo, {1, 3, false, 128, 2}));
  EXPECT_FALSE(HoldsLock(kFdinfo, {1, 3, true, 0, 0}));
  EXPECT_FALSE(HoldsLock("", {1, 3, true, 0, 0}));
}

// A stopped child stands for a restored process: its PID in the innermost namespace is ours.
class SetLostLocksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!cgroup_.valid()) GTEST_SKIP() << "no cgroup version 2 here";
    CRYOPOD_ASSERT_OK_AND_ASSIGN(file_,
                                 OpenAt(AT_FDCWD, temp_.path() / "file", O_RDWR | O_CREAT, 0600));
    child_ = ::fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) {
      ::alarm(60);
      struct flock lock = {};
      lock.l_type = F_RDLCK;
      lock.l_whence = SEEK_SET;
      lock.l_start = 5;
      lock.l_len = 2;
      ::fcntl(file_.get(), F_SETLK, &lock);
      ::raise(SIGSTOP);
      ::_exit(0);
    }
    int state = 0;
    ASSERT_EQ(::waitpid(child_, &state, WUNTRACED), child_);
    ASSERT_TRUE(WIFSTOPPED(state));
    std::ofstream(cgroup_.path() + "/cgroup.procs") << child_ << std::flush;
  }

  void TearDown() override {
    if (child_ < 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }

  RecordLock Lock(bool exclusive, uint64_t start, uint64_t length) const {
    return {static_cast<uint32_t>(ReadProcessInfo(child_)->namespace_pids.back()),
            static_cast<uint32_t>(file_.get()), exclusive, start, length};
  }

  std::string Fdinfo() const {
    const std::string path =
        "/proc/" + std::to_string(child_) + "/fdinfo/" + std::to_string(file_.get());
    return ReadFile(path, 1 << 16).value();
  }

  test::TempDirectory temp_;
  UniqueFd file_;
  test::TestCgroup cgroup_{CgroupVersion::kV2};
  pid_t child_ = -1;
};

TEST_F(SetLostLocksTest, WhatIsMissingIsSetAndWhatIsThereStays) {
  const std::vector<RecordLock> locks = {Lock(false, 5, 2), Lock(true, 10, 1), Lock(true, 20, 0)};

  EXPECT_THAT(SetLostLocks(child_, cgroup_.path(), locks), test::IsOkAnd(2u));

  for (const RecordLock& lock : locks) EXPECT_TRUE(HoldsLock(Fdinfo(), lock)) << lock.start;
}

TEST_F(SetLostLocksTest, AProcessOrDescriptorThatIsNotThereIsAnError) {
  RecordLock of_nobody = Lock(true, 1, 1);
  of_nobody.pid = 4'000'000;
  RecordLock on_nothing = Lock(true, 1, 1);
  on_nothing.fd = 999;

  EXPECT_THAT(SetLostLocks(child_, cgroup_.path(), {of_nobody}),
              test::StatusIs(Code::kFailedPrecondition, HasSubstr("process 4000000")));
  EXPECT_FALSE(SetLostLocks(child_, cgroup_.path(), {on_nothing}).ok());
}

}  // namespace
}  // namespace cryopod
