#include "agent/checkpoint/freeze_pod.h"

#include <sys/stat.h>

#include <cstring>
#include <optional>

#include "agent/os/file.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/agent/checkpoint/container_processes.h"

namespace cryopod::checkpoint {
namespace {

using cryopod::test::IsOk;
using cryopod::test::Soon;
using cryopod::test::StatusIs;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::CounterInCgroup;
using test::MakeTarget;
using ::testing::HasSubstr;

// A pod of two containers, each a counter in a leaf of its own.
class FreezePodTest : public test::CounterTest {
 protected:
  void SetUp() override {
    CounterTest::SetUp();
    if (IsSkipped()) return;
    targets_.push_back(MakeTarget("first", counter_.pid(), counter_.cgroup()));
    targets_.push_back(MakeTarget("second", second_.pid(), second_.cgroup()));
  }
  bool BothRun() const { return counter_.Runs() && second_.Runs(); }
  bool BothStandStill() const { return counter_.StandsStill() && second_.StandsStill(); }
  size_t ProcessCount() const { return counter_.cgroup().Processes().value().size(); }

  CounterInCgroup second_{GetParam()};
  std::vector<DumpTarget> targets_;
  std::chrono::nanoseconds stood_still_{0};
};

TEST_P(FreezePodTest, StopsEveryContainerUntilItIsThawed) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(FrozenPod frozen, FreezePod(targets_, Soon(), stood_still_));
  EXPECT_TRUE(BothStandStill());
  EXPECT_THAT(frozen.WaitFrozenAgain(Soon()), IsOk());
  EXPECT_GE(frozen.FrozenFor(), milliseconds(300));

  EXPECT_THAT(frozen.Thaw(), IsOk());

  EXPECT_TRUE(BothRun());
}

TEST_P(FreezePodTest, WhatAllFreezesHaveLastedIsAddedUp) {
  for (int freeze = 1; freeze <= 2; ++freeze) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const FrozenPod frozen, FreezePod(targets_, Soon(), stood_still_));
    std::this_thread::sleep_for(milliseconds(100));
  }

  EXPECT_GE(stood_still_, milliseconds(200));
}

TEST_P(FreezePodTest, ThawsWhenTheObjectGoesButNotOneThatWasMovedFrom) {
  std::optional<FrozenPod> kept;
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(FrozenPod frozen, FreezePod(targets_, Soon(), stood_still_));
    kept.emplace(std::move(frozen));
  }
  EXPECT_TRUE(counter_.StandsStill());

  kept.reset();

  EXPECT_TRUE(BothRun());
}

TEST_P(FreezePodTest, ForgottenItStaysFrozen) {
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(FrozenPod frozen, FreezePod(targets_, Soon(), stood_still_));
    frozen.Forget();
  }

  EXPECT_TRUE(BothStandStill());
}

// A process in the leaf of a counter whose child of vfork ends only after `child_takes`.
class Starter {
 public:
  Starter(const CounterInCgroup& leaf, milliseconds child_takes) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    pid_ = ::fork();
    if (pid_ == 0) Run(leaf.path(), ready[1], child_takes);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
    ::close(ready[1]);
  }
  Starter(const Starter&) = delete;
  Starter& operator=(const Starter&) = delete;
  ~Starter() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

 private:
  [[noreturn]] static void Run(const std::string& leaf, int ready, milliseconds child_takes) {
    std::ofstream(leaf + "/cgroup.procs") << ::getpid();
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (::vfork() == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      static_cast<void>(::write(ready, "r", 1) == 1);
      ::usleep(static_cast<useconds_t>(std::chrono::microseconds(child_takes).count()));
      ::_exit(0);
    }
    ::wait(nullptr);
    while (true) ::pause();
  }
  pid_t pid_ = -1;
};

TEST_P(FreezePodTest, APodIsNotCaughtWhileItStartsAProgram) {
  const Starter starter(counter_, milliseconds(100));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const FrozenPod frozen, FreezePod(targets_, Soon(), stood_still_));

  EXPECT_EQ(ProcessCount(), 2u) << "the child of vfork is still there";
  EXPECT_TRUE(BothStandStill());
  EXPECT_GT(stood_still_, milliseconds(0)) << "the tries before stood still, too";
}

TEST_P(FreezePodTest, ProcessesThatShareMemoryForGoodAreFrozenAllTheSame) {
  const Starter starter(counter_, milliseconds(60'000));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const FrozenPod frozen, FreezePod(targets_, Soon(), stood_still_));

  EXPECT_EQ(ProcessCount(), 3u);
  EXPECT_TRUE(counter_.StandsStill());
}

TEST_P(FreezePodTest, AContainerThatIsGoneKeepsNoOtherFromBeingThawed) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(FrozenPod frozen, FreezePod(targets_, Soon(), stood_still_));
  ASSERT_THAT(targets_[0].cgroup.Kill(Soon()), IsOk());
  counter_.End();
  ASSERT_EQ(::rmdir(counter_.path().c_str()), 0) << std::strerror(errno);

  EXPECT_THAT(frozen.Thaw(), IsOk());

  EXPECT_TRUE(second_.Runs());
  ASSERT_EQ(::mkdir(counter_.path().c_str(), 0755), 0);  // the fixture removes it
}

// A process whose exec waits for its other thread, which is frozen and cannot end: not even a
// freezer stops it there. Version 1 alone has threads in different cgroups, and freezes what is
// killed.
class WaitingExec {
 public:
  // The thread goes to `frozen`, a cgroup that is frozen already.
  explicit WaitingExec(const std::string& frozen) {
    pid_ = ::fork();
    if (pid_ == 0) Run(frozen);
    const std::string state = "/proc/" + std::to_string(pid_) + "/stat";
    const Deadline deadline = Soon();
    EXPECT_TRUE(WaitsOn(state, deadline)) << "exec went through, or never began";
  }
  WaitingExec(const WaitingExec&) = delete;
  WaitingExec& operator=(const WaitingExec&) = delete;
  ~WaitingExec() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  void Enter(const std::string& cgroup) const { std::ofstream(cgroup + "/tasks") << pid_; }

 private:
  // Uninterruptibly, as which the kernel also shows what is frozen.
  static bool Waits(const std::string& state) {
    const Result<std::string> text = ReadFile(state);
    return text.ok() && text->find(") D ") != std::string::npos;
  }
  // Not once: whoever takes a page waits so for a moment.
  static bool WaitsOn(const std::string& state, Deadline deadline) {
    for (int seen = 0; seen < 20; ::usleep(1000)) {
      if (deadline.expired()) return false;
      seen = Waits(state) ? seen + 1 : 0;
    }
    return true;
  }
  [[noreturn]] static void Run(const std::string& frozen) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::atomic<pid_t> thread = 0;
    std::thread([&thread] {
      thread = ::gettid();
      while (true) ::pause();
    }).detach();
    while (thread == 0) ::usleep(100);
    std::ofstream(frozen + "/tasks") << thread;
    // One that is not frozen yet would be ended by the exec.
    if (!WaitsOn("/proc/self/task/" + std::to_string(thread) + "/stat", Soon())) ::_exit(1);
    ::execl("/bin/sleep", "sleep", "60", nullptr);
    ::_exit(1);
  }
  pid_t pid_ = -1;
};

class WaitingExecTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!counter_.valid()) GTEST_SKIP() << "version 1 cannot be written to";
    below_ = counter_.path() + "/below";
    ASSERT_EQ(::mkdir(below_.c_str(), 0755), 0);
    targets_.push_back(MakeTarget("only", counter_.pid(), counter_.cgroup()));
  }
  size_t ProcessCount() const { return counter_.cgroup().Processes().value().size(); }

  CounterInCgroup counter_{CgroupVersion::kV1};
  std::string below_;
  std::vector<DumpTarget> targets_;
  std::chrono::nanoseconds stood_still_{0};
};

TEST_F(WaitingExecTest, APodThatIsCaughtInAnExecIsLetGoOnAndFrozenAgain) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Cgroup below, Cgroup::Open(below_));
  ASSERT_THAT(below.Freeze(), IsOk());
  const WaitingExec exec(below_);
  exec.Enter(counter_.path());
  std::jthread thaws_below_once_the_pod_freezes([&] {
    const std::string asked = counter_.path() + "/freezer.self_freezing";
    while (ReadFile(asked).value().front() != '1') ::usleep(100);
    EXPECT_THAT(below.Thaw(), IsOk());
  });

  CRYOPOD_ASSERT_OK_AND_ASSIGN(FrozenPod frozen, FreezePod(targets_, Soon(), stood_still_));

  EXPECT_TRUE(counter_.StandsStill());
  EXPECT_EQ(ProcessCount(), 2u);
  EXPECT_THAT(frozen.Thaw(), IsOk());
}

TEST_F(WaitingExecTest, AnExecThatCameInAndCannotBeFrozenMakesTheCaptureNoCut) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(FrozenPod frozen, FreezePod(targets_, Soon(), stood_still_));
  const WaitingExec exec(below_);
  exec.Enter(counter_.path());

  const Status again = frozen.WaitFrozenAgain(Deadline::After(seconds(60)));

  EXPECT_THAT(again, StatusIs(Code::kAborted, HasSubstr("container only")));
  EXPECT_EQ(again.reason(), Reason::kPodChanged);
  EXPECT_THAT(frozen.Thaw(), IsOk());
  EXPECT_TRUE(counter_.Runs());
}

TEST_F(WaitingExecTest, ADeadlineThatEndsTheWaitIsReportedAsOne) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(FrozenPod frozen, FreezePod(targets_, Soon(), stood_still_));
  const WaitingExec exec(below_);
  exec.Enter(counter_.path());

  EXPECT_THAT(frozen.WaitFrozenAgain(Deadline::After(milliseconds(20))),
              StatusIs(Code::kDeadlineExceeded, HasSubstr("container only")));

  EXPECT_THAT(frozen.Thaw(), IsOk());
}

INSTANTIATE_TEST_SUITE_P(Freezers, FreezePodTest, test::kBothVersions, test::VersionName);

// What one freezer holds already never becomes frozen for the other: a container that cannot stop.
TEST(FreezePodDeadlineTest, APodThatDoesNotFreezeInTimeIsThawedAndTheContainerNamed) {
  CounterInCgroup easy(CgroupVersion::kV2);
  CounterInCgroup hard(CgroupVersion::kV2);
  const cryopod::test::TestCgroup other_freezer(CgroupVersion::kV1);
  if (!easy.valid() || !other_freezer.valid()) GTEST_SKIP() << "needs both versions of cgroups";
  std::ofstream(other_freezer.path() + "/cgroup.procs") << hard.pid();
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Cgroup holder, Cgroup::Open(other_freezer.path()));
  ASSERT_THAT(holder.Freeze(), IsOk());
  ASSERT_THAT(holder.WaitFrozen(Soon()), IsOk());
  std::vector<DumpTarget> targets;
  targets.push_back(MakeTarget("easy", easy.pid(), easy.cgroup()));
  targets.push_back(MakeTarget("hard", hard.pid(), hard.cgroup()));

  std::chrono::nanoseconds stood_still{0};

  const Result<FrozenPod> frozen =
      FreezePod(targets, Deadline::After(milliseconds(200)), stood_still);

  EXPECT_THAT(frozen, StatusIs(Code::kDeadlineExceeded, HasSubstr("container hard")));
  EXPECT_GE(stood_still, milliseconds(200)) << "also a freeze that was none";
  EXPECT_TRUE(easy.Runs());
  ASSERT_THAT(holder.Thaw(), IsOk());
  EXPECT_TRUE(hard.Runs());
}

}  // namespace
}  // namespace cryopod::checkpoint
