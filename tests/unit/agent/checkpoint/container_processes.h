#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "agent/checkpoint/resolve_pod.h"
#include "agent/os/cgroup.h"
#include "agent/os/deadline.h"
#include "agent/os/proc.h"
#include "agent/os/subprocess.h"
#include "agent/os/unique_fd.h"
#include "tests/support/test_cgroup.h"

namespace cryopod::checkpoint::test {

// A process that waits to be killed, in namespaces of its own; in a new PID namespace it is the
// first process, as a container's is. It reaps nobody. `prepare` runs in it before we are ready.
class NamespaceHolder {
 public:
  using Act = std::function<bool()>;

  explicit NamespaceHolder(int flags, const Act& prepare = {})
      : NamespaceHolder([flags] { return ::unshare(flags) == 0; }, prepare) {}
  // It comes from outside into namespaces that `enter` has joined.
  NamespaceHolder(const Act& enter, const Act& prepare) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    const UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    // Only children of who calls unshare or setns are in the PID namespace.
    middle_ = ::fork();
    if (middle_ == 0) Hold(enter, prepare, write_end.get());
    write_end.Reset();
    Report report;
    if (::read(read_end.get(), &report, sizeof report) != sizeof report) return;
    init_ = report.init;
    ready_ = report.prepared;
  }
  NamespaceHolder(const NamespaceHolder&) = delete;
  NamespaceHolder& operator=(const NamespaceHolder&) = delete;
  ~NamespaceHolder() { Kill(); }

  bool ready() const { return ready_; }
  pid_t init() const { return init_; }
  void Kill() {
    if (init_ > 0) ::kill(init_, SIGKILL);
    if (middle_ > 0) ::kill(middle_, SIGCONT);
    if (middle_ > 0) ::waitpid(middle_, nullptr, 0);
    init_ = middle_ = -1;
  }
  // It has ended, and nobody reaps it as long as this object is there.
  void BecomeZombie() const {
    ::kill(middle_, SIGSTOP);
    ::kill(init_, SIGKILL);
    while (ReadProcessInfo(init_)->state != 'Z') ::usleep(1000);
  }

 private:
  struct Report {
    pid_t init = -1;
    bool prepared = false;
  };

  [[noreturn]] static void Hold(const Act& enter, const Act& prepare, int report_fd) {
    int ends[2];
    if (!enter() || ::pipe2(ends, O_CLOEXEC) != 0) ::_exit(1);
    Report report;
    report.init = ::fork();
    if (report.init == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const bool prepared = !prepare || prepare();
      (void)!::write(ends[1], &prepared, sizeof prepared);
      while (true) ::pause();
    }
    ::close(ends[1]);
    if (::read(ends[0], &report.prepared, 1) != 1) report.prepared = false;
    (void)!::write(report_fd, &report, sizeof report);
    ::close(report_fd);
    ::waitpid(report.init, nullptr, 0);
    ::_exit(0);
  }

  pid_t middle_ = -1;
  pid_t init_ = -1;
  bool ready_ = false;
};

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
    Enter(pid_);
  }
  CounterInCgroup(const CounterInCgroup&) = delete;
  CounterInCgroup& operator=(const CounterInCgroup&) = delete;
  ~CounterInCgroup() {
    End();
    ::munmap(count_, sizeof *count_);
  }

  bool valid() const { return cgroup_.valid(); }
  std::string path() const { return cgroup_.path(); }
  pid_t pid() const { return pid_; }
  Cgroup cgroup() const { return Cgroup::Open(cgroup_.path()).value(); }

  void Enter(pid_t pid) const { std::ofstream(path() + "/cgroup.procs") << pid; }
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
  bool Runs() const { return CountsWithin(std::chrono::milliseconds(1000)); }
  bool StandsStillFor(std::chrono::milliseconds time) const { return !CountsWithin(time); }
  bool StandsStill() const { return StandsStillFor(std::chrono::milliseconds(150)); }
  // Waits until somebody has killed it; by which signal.
  int EndedBy() {
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    return WTERMSIG(status);
  }
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

// A counter in a cgroup of each version that this machine has.
class CounterTest : public ::testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    if (!counter_.valid()) GTEST_SKIP() << "no freezer hierarchy of this version can be written to";
  }

  CounterInCgroup counter_{GetParam()};
};

inline const auto kBothVersions = ::testing::Values(CgroupVersion::kV1, CgroupVersion::kV2);
inline std::string VersionName(const ::testing::TestParamInfo<CgroupVersion>& info) {
  return info.param == CgroupVersion::kV1 ? "V1" : "V2";
}

// A container as far as the kernel knows it: this process in this cgroup.
inline DumpTarget MakeTarget(const std::string& name, pid_t init, Cgroup cgroup) {
  jobs::RequestedContainer requested;
  requested.name = name;
  requested.id = name + "-id";
  criu::ContainerState state;
  state.id = requested.id;
  state.init_pid = init;
  state.init_start_ticks = ReadProcessInfo(init)->start_time_ticks;
  const uint64_t pid_namespace = NamespaceInode(init, "pid").value();
  return DumpTarget{std::move(requested),
                    std::move(state),
                    OpenPidfd(init).value(),
                    std::move(cgroup),
                    {},
                    "",
                    Status(),
                    pid_namespace,
                    {},
                    {}};
}

// A leaf of whichever version this machine has, for tests to which it does not matter.
class LeafTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!leaf_.valid()) GTEST_SKIP() << "cgroups and namespaces need root";
  }
  void Enter(pid_t pid) const { std::ofstream(leaf_.path() + "/cgroup.procs") << pid; }
  DumpTarget Target(const std::string& name, pid_t init) const {
    return MakeTarget(name, init, Cgroup::Open(leaf_.path()).value());
  }

  const cryopod::test::TestCgroup leaf_{
      cryopod::test::FreezerMount(CgroupVersion::kV2) ? CgroupVersion::kV2 : CgroupVersion::kV1};
};

}  // namespace cryopod::checkpoint::test
