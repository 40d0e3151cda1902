#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>

#include "agent/os/cgroup.h"
#include "agent/os/deadline.h"
#include "agent/os/subprocess.h"
#include "tests/support/test_cgroup.h"

namespace cryopod::checkpoint::test {

// A child that does nothing but count, in memory that we see, in a cgroup of its own: frozen, it
// stands still.
class CounterInCgroup {
 public:
  explicit CounterInCgroup(CgroupVersion version) : cgroup_(version) {
    void* const memory = ::mmap(nullptr, sizeof(std::atomic<uint64_t>), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    count_ = new (memory) std::atomic<uint64_t>(0);
    if (!cgroup_.valid()) return;
    pid_ = ::fork();
    if (pid_ == 0) {
      while (true) {
        ++*count_;
        ::usleep(1000);
      }
    }
    std::ofstream(cgroup_.path() + "/cgroup.procs") << pid_;
  }
  CounterInCgroup(const CounterInCgroup&) = delete;
  CounterInCgroup& operator=(const CounterInCgroup&) = delete;
  ~CounterInCgroup() {
    End();
    ::munmap(count_, sizeof *count_);
  }

  bool valid() const { return cgroup_.valid(); }
  const std::string path() const { return cgroup_.path(); }
  pid_t pid() const { return pid_; }
  Cgroup cgroup() const { return Cgroup::Open(cgroup_.path()).value(); }

  void Freeze() const {
    const Cgroup leaf = cgroup();
    ASSERT_TRUE(leaf.Freeze().ok());
    ASSERT_TRUE(leaf.WaitFrozen(Deadline::After(std::chrono::seconds(5))).ok());
  }
  uint64_t count() const { return count_->load(); }
  // Does the child count again before `limit` has passed?
  bool CountsWithin(std::chrono::milliseconds limit) const {
    const uint64_t before = count_->load();
    const Deadline deadline = Deadline::After(limit);
    while (count_->load() < before + 2) {
      if (deadline.expired()) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
  bool StandsStillFor(std::chrono::milliseconds time) const { return !CountsWithin(time); }
  void End() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    (void)cgroup().Thaw();
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  cryopod::test::TestCgroup cgroup_;
  std::atomic<uint64_t>* count_ = nullptr;
  pid_t pid_ = -1;
};

inline std::string VersionName(const ::testing::TestParamInfo<CgroupVersion>& info) {
  return info.param == CgroupVersion::kV1 ? "V1" : "V2";
}

}  // namespace cryopod::checkpoint::test

// Leaves the test where the machine has no such hierarchy.
#define CRYOPOD_SKIP_WITHOUT(counter) \
  if (!(counter).valid()) GTEST_SKIP() << "no freezer hierarchy of this version can be written to"
