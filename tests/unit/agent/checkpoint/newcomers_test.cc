#include "agent/checkpoint/newcomers.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/os/proc.h"
#include "agent/os/unique_fd.h"
#include "tests/support/soon.h"
#include "tests/unit/agent/checkpoint/dump_target_fixture.h"
#include "tests/unit/agent/checkpoint/namespace_holder.h"

namespace cryopod::checkpoint {
namespace {

using cryopod::test::Soon;
using test::NamespaceHolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// What an exec of a container runtime is to the kernel: a process from outside whose child is born
// in the container's PID namespace.
class Exec {
 public:
  Exec(pid_t container, const char* command) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    const UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    outside_ = ::fork();
    if (outside_ == 0) RunIn("/proc/" + std::to_string(container) + "/ns/pid", command, ends[1]);
    write_end.Reset();
    if (::read(read_end.get(), &pid_, sizeof pid_) != sizeof pid_) pid_ = -1;
  }
  Exec(const Exec&) = delete;
  Exec& operator=(const Exec&) = delete;
  ~Exec() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    if (outside_ > 0) ::waitpid(outside_, nullptr, 0);
  }

  pid_t pid() const { return pid_; }
  std::string Name() const { return "process " + std::to_string(pid_); }
  // It stays, as nobody reaps it yet.
  void BecomeZombie() const {
    ::kill(outside_, SIGSTOP);
    ::kill(pid_, SIGKILL);
    while (ReadProcessInfo(pid_)->state != 'Z') ::usleep(1000);
  }
  void Reap() const { ::kill(outside_, SIGCONT); }

 private:
  [[noreturn]] static void RunIn(const std::string& pid_namespace, const char* command,
                                 int report_fd) {
    const int ns_fd = ::open(pid_namespace.c_str(), O_RDONLY | O_CLOEXEC);
    if (::setns(ns_fd, CLONE_NEWPID) != 0) ::_exit(1);
    int ready[2];
    if (::pipe(ready) != 0) ::_exit(1);
    const pid_t inside = ::fork();
    if (inside == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::prctl(PR_SET_NAME, command);
      (void)!::write(ready[1], "", 1);
      while (true) ::pause();
    }
    char byte = 0;
    (void)!::read(ready[0], &byte, 1);
    (void)!::write(report_fd, &inside, sizeof inside);
    ::close(report_fd);
    ::waitpid(inside, nullptr, 0);
    ::_exit(0);
  }

  pid_t outside_ = -1;
  pid_t pid_ = -1;
};

class NewcomersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!leaf_.valid()) GTEST_SKIP() << "cgroups and namespaces need root";
    ASSERT_TRUE(container_.ready());
    leaf_.Enter(container_.init());
    pod_.targets.push_back(leaf_.Target("app", container_.init()));
    Result<BirthWatch> births = BirthWatch::Begin(pod_, Soon());
    ASSERT_TRUE(births.ok()) << births.status().message();
    births_.emplace(std::move(births).value());
    before_ = Marks();
  }
  void TearDown() override {
    // The watch has a process in the namespace, which ends before the namespace does.
    births_.reset();
  }
  BirthMarks Marks() const { return births_->Read(Soon()).value(); }
  std::string Born() const { return DescribeBorn(pod_.targets, before_, Marks()); }

  const test::AnyLeaf leaf_;
  const NamespaceHolder container_{CLONE_NEWPID};
  ResolvedPod pod_;
  std::optional<BirthWatch> births_;
  BirthMarks before_;
};

TEST_F(NewcomersTest, AProcessThatCameIntoAContainerIsNamedWithIt) {
  const Exec exec(container_.init(), "probe");
  leaf_.Enter(exec.pid());

  EXPECT_EQ(Born(), "container app: " + exec.Name() + " (probe)");
}

TEST_F(NewcomersTest, AnExecThatIsInNoContainersCgroupYetIsNamedAllTheSame) {
  const Exec exec(container_.init(), "probe");

  EXPECT_EQ(Born(), exec.Name() + " (probe), on its way in");
}

TEST_F(NewcomersTest, WhatRuncHasNotTurnedIntoTheCommandYetIsCalledAnExec) {
  const Exec exec(container_.init(), "runc:[2:INIT]");
  leaf_.Enter(exec.pid());

  EXPECT_EQ(Born(),
            "container app: " + exec.Name() + " (runc:[2:INIT]), an exec of the container runtime");
}

TEST_F(NewcomersTest, WhatWasThereBeforeIsNoNewcomer) {
  const Exec before(container_.init(), "before");
  leaf_.Enter(before.pid());
  before_ = Marks();
  const Exec exec(container_.init(), "probe");
  leaf_.Enter(exec.pid());

  EXPECT_THAT(Born(), AllOf(HasSubstr("(probe)"), Not(HasSubstr("before"))));
}

TEST_F(NewcomersTest, OneThatHasEndedIsToldAndNamedAsLongAsItLeavesATrace) {
  const Exec exec(container_.init(), "probe");

  exec.BecomeZombie();

  EXPECT_EQ(Born(), exec.Name() + " (probe), which has ended again");
  exec.Reap();
}

TEST_F(NewcomersTest, OneThatHasLeftNoTraceHasEndedAgain) {
  { const Exec exec(container_.init(), "probe"); }

  EXPECT_EQ(Born(), "it has ended again");
}

TEST_F(NewcomersTest, ANameIsNoMoreThanOneHarmlessLine) {
  const Exec exec(container_.init(), "a\n\x1b[2J\xff");
  leaf_.Enter(exec.pid());

  EXPECT_EQ(Born(), "container app: " + exec.Name() + " (a ?[2J?)");
}

TEST_F(NewcomersTest, OfManyOnlyTheFirstAreNamed) {
  std::vector<std::unique_ptr<Exec>> execs;
  for (int i = 0; i < 5; ++i) {
    execs.push_back(std::make_unique<Exec>(container_.init(), "probe"));
    leaf_.Enter(execs.back()->pid());
  }

  EXPECT_THAT(Born(), HasSubstr("(probe) and 2 more"));
}

TEST_F(NewcomersTest, WhatIsInTheLeafAndWasNotDumpedIsNamed) {
  const Exec exec(container_.init(), "probe");
  leaf_.Enter(exec.pid());
  const pid_t inner = ReadProcessInfo(exec.pid())->namespace_pids.back();

  EXPECT_EQ(DescribeUndumped(pod_.targets[0], {1}), exec.Name() + " (probe)");
  EXPECT_EQ(DescribeUndumped(pod_.targets[0], {1, inner}), "");
}

}  // namespace
}  // namespace cryopod::checkpoint
