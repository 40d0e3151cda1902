#include "agent/checkpoint/check_members.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/agent/checkpoint/container_processes.h"

namespace cryopod::checkpoint {
namespace {

using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::Soon;
using cryopod::test::StatusIs;
using test::MakeTarget;
using test::NamespaceHolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

pid_t InnermostPid(pid_t pid) { return ReadProcessInfo(pid)->namespace_pids.back(); }

// A counter in the test's own PID namespace: PIDs are then what we see.
class CheckMembersTest : public test::CounterTest {
 protected:
  DumpTarget Target() const { return MakeTarget("app", counter_.pid(), counter_.cgroup()); }
  // The container of this process alone.
  DumpTarget Instead(const NamespaceHolder& holder) {
    counter_.Enter(holder.init());
    counter_.End();
    return MakeTarget("app", holder.init(), counter_.cgroup());
  }
};

TEST_P(CheckMembersTest, ALeafThatHoldsExactlyTheDumpedTasksPasses) {
  const pid_t pid = InnermostPid(counter_.pid());

  EXPECT_THAT(CheckMembers(Target(), {{pid, 0, {pid}}}), IsOkAnd(1u));
}

TEST_P(CheckMembersTest, AProcessThatEnteredMeanwhileDiscardsTheCaptureAndIsNamedFirst) {
  const pid_t pid = InnermostPid(counter_.pid());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess exec,
                               cryopod::test::SpawnIn(counter_.path(), {"/bin/sleep", "60"}));

  EXPECT_THAT(CheckMembers(Target(), {{pid, 0, {pid}}, {999'999, pid, {999'999}}}),
              StatusIs(Code::kAborted,
                       AllOf(HasSubstr("container app: task " +
                                       std::to_string(InnermostPid(exec.pid())) + " came in"),
                             HasSubstr("process " + std::to_string(exec.pid()) + " (sleep)"))));
  ASSERT_THAT(exec.Kill(SIGKILL), IsOk());
  ASSERT_THAT(exec.Wait(Soon()), IsOk());
}

TEST_P(CheckMembersTest, AThreadThatWasNotDumpedDiscardsTheCapture) {
  const NamespaceHolder threads(CLONE_NEWPID, [] {
    std::thread([] { ::pause(); }).detach();
    return true;
  });
  ASSERT_TRUE(threads.ready());
  const DumpTarget target = Instead(threads);

  EXPECT_THAT(CheckMembers(target, {{1, 0, {1}}}), StatusIs(Code::kAborted, HasSubstr("task 2")));
  EXPECT_THAT(CheckMembers(target, {{1, 0, {1, 2}}}), IsOkAnd(2u)) << "by their inner PIDs";
}

TEST_P(CheckMembersTest, ADumpedTaskThatIsGoneDiscardsTheCapture) {
  const pid_t pid = InnermostPid(counter_.pid());

  EXPECT_THAT(CheckMembers(Target(), {{pid, 0, {pid}}, {999'999, pid, {999'999}}}),
              StatusIs(Code::kAborted, HasSubstr("task 999999 was dumped and has left")));
}

TEST_P(CheckMembersTest, AZombieCountsOnNeitherSide) {
  const NamespaceHolder holder(CLONE_NEWPID, [] {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0;
  });
  ASSERT_TRUE(holder.ready());
  const DumpTarget target = Instead(holder);

  EXPECT_THAT(CheckMembers(target, {{1, 0, {1}}, {2, 1, {}}}), IsOkAnd(1u));
  EXPECT_THAT(CheckMembers(target, {{1, 0, {1}}}), IsOkAnd(1u));
}

INSTANTIATE_TEST_SUITE_P(Freezers, CheckMembersTest, test::kBothVersions, test::VersionName);

// What an exec of a container runtime is to the kernel: a process from outside whose child is born
// in the container's PID namespace.
class Exec : public NamespaceHolder {
 public:
  Exec(const DumpTarget& container, const char* command)
      : NamespaceHolder(
            [&container] { return ::setns(container.init_pidfd.get(), CLONE_NEWPID) == 0; },
            [command] { return ::prctl(PR_SET_NAME, command) == 0; }) {}

  std::string Name() const { return "process " + std::to_string(init()); }
};

class BirthWatchTest : public test::LeafTest {
 protected:
  void SetUp() override {
    LeafTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(container_.ready());
    Enter(container_.init());
    pod_.targets.push_back(Target("app", container_.init()));
    Begin();
  }
  // The watch has a process in the namespace, which ends before the namespace does.
  void TearDown() override { births_.reset(); }
  void Begin() {
    births_.emplace(BirthWatch::Begin(pod_, Soon()).value());
    before_ = births_->Read(Soon()).value();
  }
  const DumpTarget& container() const { return pod_.targets[0]; }
  std::string Born() const {
    const std::string told = "a process was started in the pod while it was dumped: ";
    const Status born = births_->CheckNothingWasBorn(before_, Soon());
    EXPECT_THAT(born, StatusIs(Code::kAborted, StartsWith(told)));
    return born.message().substr(std::min(told.size(), born.message().size()));
  }

  const NamespaceHolder container_{CLONE_NEWPID};
  ResolvedPod pod_;
  std::optional<BirthWatch> births_;
  BirthMarks before_;
};

TEST_F(BirthWatchTest, EachNamespaceIsAskedOnceAndTwoEqualAnswersProveThatNothingWasBorn) {
  // A process that is forked while a watch is there keeps it from ending first.
  births_.reset();
  const NamespaceHolder other(CLONE_NEWPID);
  ASSERT_TRUE(other.ready());
  pod_.targets.push_back(Target("shares", container_.init()));
  pod_.targets.push_back(Target("other", other.init()));
  Begin();

  EXPECT_EQ(before_.size(), 2u);
  EXPECT_THAT(births_->CheckNothingWasBorn(before_, Soon()), IsOk());
  births_.reset();
}

TEST_F(BirthWatchTest, AProcessThatCameIntoAContainerIsNamedWithIt) {
  const Exec exec(container(), "probe");
  Enter(exec.init());

  EXPECT_EQ(Born(), "container app: " + exec.Name() + " (probe)");
}

TEST_F(BirthWatchTest, AnExecThatIsInNoContainersCgroupYetIsNamedAllTheSame) {
  const Exec exec(container(), "probe");

  EXPECT_EQ(Born(), exec.Name() + " (probe), on its way in");
}

TEST_F(BirthWatchTest, WhatRuncHasNotTurnedIntoTheCommandYetIsCalledAnExec) {
  const Exec exec(container(), "runc:[2:INIT]");
  Enter(exec.init());

  EXPECT_EQ(Born(),
            "container app: " + exec.Name() + " (runc:[2:INIT]), an exec of the container runtime");
}

TEST_F(BirthWatchTest, WhatWasThereBeforeIsNoNewcomer) {
  const Exec before(container(), "before");
  Enter(before.init());
  before_ = births_->Read(Soon()).value();
  const Exec exec(container(), "probe");
  Enter(exec.init());

  EXPECT_THAT(Born(), AllOf(HasSubstr("(probe)"), Not(HasSubstr("before"))));
}

TEST_F(BirthWatchTest, OneThatHasEndedIsToldAndNamedAsLongAsItLeavesATrace) {
  const Exec exec(container(), "probe");

  exec.BecomeZombie();

  EXPECT_EQ(Born(), exec.Name() + " (probe), which has ended again");
}

TEST_F(BirthWatchTest, OneThatHasLeftNoTraceHasEndedAgain) {
  { const Exec exec(container(), "probe"); }

  EXPECT_EQ(Born(), "it has ended again");
}

TEST_F(BirthWatchTest, ANameIsNoMoreThanOneHarmlessLine) {
  const Exec exec(container(), "a\n\x1b[2J\xff");
  Enter(exec.init());

  EXPECT_EQ(Born(), "container app: " + exec.Name() + " (a ?[2J?)");
}

TEST_F(BirthWatchTest, OfManyOnlyTheFirstAreNamed) {
  std::vector<std::unique_ptr<Exec>> execs;
  for (int i = 0; i < 5; ++i) {
    execs.push_back(std::make_unique<Exec>(container(), "probe"));
    Enter(execs.back()->init());
  }

  EXPECT_THAT(Born(), HasSubstr("(probe) and 2 more"));
}

TEST_F(BirthWatchTest, WhatIsInTheLeafAndWasNotDumpedIsNamed) {
  const Exec exec(container(), "probe");
  Enter(exec.init());
  const pid_t inner = InnermostPid(exec.init());

  EXPECT_EQ(DescribeUndumped(container(), {{1, 0, {1}}}), exec.Name() + " (probe)");
  EXPECT_EQ(DescribeUndumped(container(), {{1, 0, {1}}, {inner, 1, {inner}}}), "");
}

}  // namespace
}  // namespace cryopod::checkpoint
