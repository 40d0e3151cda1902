#include "agent/checkpoint/guard.h"

#include <sys/socket.h>

#include <optional>
#include <utility>

#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/job_file.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/counter_in_cgroup.h"

namespace cryopod::checkpoint {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::CounterInCgroup;
using ::testing::HasSubstr;

constexpr milliseconds kThawLimit{1000};
constexpr milliseconds kQuiet{200};

// A child of ours that runs `act` and then waits to be killed: the parent that a guard guards.
class ForkedParent {
 public:
  template <typename Act>
  explicit ForkedParent(const Act& act) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    pid_ = ::fork();
    if (pid_ == 0) {
      const bool done = act();
      (void)!::write(write_end.get(), done ? "y" : "n", 1);
      while (true) ::pause();
    }
    write_end.Reset();
    char answer = 0;
    ready_ = ::read(read_end.get(), &answer, 1) == 1 && answer == 'y';
  }
  ForkedParent(const ForkedParent&) = delete;
  ForkedParent& operator=(const ForkedParent&) = delete;
  ~ForkedParent() { Kill(); }

  bool ready() const { return ready_; }
  void Kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  bool ready_ = false;
};

// What CRIU does to the cgroup: whenever it is told to, it freezes it and ends.
class FakeCriu {
 public:
  explicit FakeCriu(const CounterInCgroup& counter) {
    int sockets[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return;
    ours_ = UniqueFd(sockets[0]);
    const UniqueFd theirs(sockets[1]);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::setsid();
      ours_.Reset();
      char told = 0;
      (void)!::read(theirs.get(), &told, 1);
      const Cgroup leaf = counter.cgroup();
      (void)leaf.Freeze();
      (void)leaf.WaitFrozen(Deadline::After(seconds(5)));
      ::_exit(0);
    }
    pidfd_ = OpenPidfd(pid_).value();
  }
  FakeCriu(const FakeCriu&) = delete;
  FakeCriu& operator=(const FakeCriu&) = delete;
  ~FakeCriu() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  int pidfd() const { return pidfd_.get(); }
  void FreezeAndEnd() {
    ASSERT_EQ(::send(ours_.get(), "g", 1, MSG_NOSIGNAL), 1);
    ASSERT_TRUE(PidfdEnded(pidfd_.get(), Deadline::After(seconds(10))));
  }

 private:
  UniqueFd ours_;
  UniqueFd pidfd_;
  pid_t pid_ = -1;
};

class GuardTest : public ::testing::TestWithParam<CgroupVersion> {};

// In the child of a test: no expectations, they would be lost.
bool WatchAndFreeze(Guard& guard, const CounterInCgroup& counter, int criu_pidfd = -1) {
  const Cgroup leaf = counter.cgroup();
  if (!guard.Watch(leaf).ok()) return false;
  if (criu_pidfd >= 0 && !guard.WatchCriu(criu_pidfd).ok()) return false;
  return guard.Arm(Deadline::After(seconds(60))).ok() && leaf.Freeze().ok() &&
         leaf.WaitFrozen(Deadline::After(seconds(5))).ok();
}

TEST_P(GuardTest, ThawsWithinASecondWhenTheParentIsKilled) {
  CounterInCgroup counter(GetParam());
  CRYOPOD_SKIP_WITHOUT(counter);
  std::optional<Guard> guard;
  ForkedParent parent([&] {
    Result<Guard> forked = Guard::Fork();
    if (!forked.ok()) return false;
    guard.emplace(std::move(forked).value());
    return WatchAndFreeze(*guard, counter);
  });
  ASSERT_TRUE(parent.ready());
  ASSERT_TRUE(counter.StandsStillFor(kQuiet));

  parent.Kill();

  EXPECT_TRUE(counter.CountsWithin(kThawLimit));
}

TEST_P(GuardTest, KillsInsteadWhenTheEndOfTheSourceIsDecided) {
  CounterInCgroup counter(GetParam());
  CRYOPOD_SKIP_WITHOUT(counter);
  const cryopod::test::TempDirectory job;
  std::optional<Guard> guard;
  ForkedParent parent([&] {
    const Result<UniqueFd> directory = OpenDirectory(job.path());
    Result<Guard> forked = Guard::Fork(directory.ok() ? directory->get() : -1);
    if (!forked.ok()) return false;
    guard.emplace(std::move(forked).value());
    return WatchAndFreeze(*guard, counter) &&
           WriteFileAtomically(directory->get(), jobs::kStoppingFile, "{}").ok();
  });
  ASSERT_TRUE(parent.ready());
  const uint64_t at_the_cut = counter.count();

  parent.Kill();

  int status = -1;
  ASSERT_EQ(::waitpid(counter.pid(), &status, 0), counter.pid());
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_EQ(counter.count(), at_the_cut) << "nothing of it ran past the cut";
}

TEST_P(GuardTest, ThawsAgainAfterACriuThatFreezesWhenItEnds) {
  CounterInCgroup counter(GetParam());
  CRYOPOD_SKIP_WITHOUT(counter);
  FakeCriu criu(counter);
  std::optional<Guard> guard;
  ForkedParent parent([&] {
    Result<Guard> forked = Guard::Fork();
    if (!forked.ok()) return false;
    guard.emplace(std::move(forked).value());
    return WatchAndFreeze(*guard, counter, criu.pidfd());
  });
  ASSERT_TRUE(parent.ready());
  parent.Kill();
  ASSERT_TRUE(counter.CountsWithin(kThawLimit));
  std::this_thread::sleep_for(milliseconds(700));  // longer than the guard's aftermath

  criu.FreezeAndEnd();

  EXPECT_TRUE(counter.CountsWithin(kThawLimit));
}

TEST_P(GuardTest, WaitsForEveryCriuOfThePod) {
  CounterInCgroup counter(GetParam());
  CRYOPOD_SKIP_WITHOUT(counter);
  FakeCriu first(counter);
  FakeCriu second(counter);
  std::optional<Guard> guard;
  ForkedParent parent([&] {
    Result<Guard> forked = Guard::Fork();
    if (!forked.ok()) return false;
    guard.emplace(std::move(forked).value());
    return guard->WatchCriu(first.pidfd()).ok() && WatchAndFreeze(*guard, counter, second.pidfd());
  });
  ASSERT_TRUE(parent.ready());
  parent.Kill();

  first.FreezeAndEnd();
  EXPECT_TRUE(counter.CountsWithin(kThawLimit));
  std::this_thread::sleep_for(milliseconds(700));
  second.FreezeAndEnd();
  EXPECT_TRUE(counter.CountsWithin(kThawLimit));
}

TEST_P(GuardTest, ThawsAtTheDeadlineAndTellsItsLivingParent) {
  CounterInCgroup counter(GetParam());
  CRYOPOD_SKIP_WITHOUT(counter);
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Guard guard, Guard::Fork());
  ASSERT_THAT(guard.Watch(counter.cgroup()), IsOk());
  ASSERT_THAT(guard.Arm(Deadline::After(milliseconds(300))), IsOk());
  counter.Freeze();
  ASSERT_TRUE(counter.StandsStillFor(milliseconds(100)));

  EXPECT_TRUE(counter.CountsWithin(kThawLimit));

  EXPECT_THAT(guard.Arm(Deadline::After(seconds(60))),
              StatusIs(Code::kDeadlineExceeded, HasSubstr("beyond its deadline")));
  EXPECT_THAT(guard.Disarm(), StatusIs(Code::kDeadlineExceeded));
  // What is told once is over: the next attempt begins anew.
  EXPECT_THAT(guard.Watch(counter.cgroup()), IsOk());
  EXPECT_THAT(guard.Arm(Deadline::After(seconds(60))), IsOk());
}

TEST_P(GuardTest, AnswersAtOnceWhileItWaitsForACriuAfterTheDeadline) {
  CounterInCgroup counter(GetParam());
  CRYOPOD_SKIP_WITHOUT(counter);
  FakeCriu criu(counter);
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Guard guard, Guard::Fork());
  ASSERT_THAT(guard.Watch(counter.cgroup()), IsOk());
  ASSERT_THAT(guard.WatchCriu(criu.pidfd()), IsOk());
  ASSERT_THAT(guard.Arm(Deadline::After(milliseconds(50))), IsOk());
  counter.Freeze();
  ASSERT_TRUE(counter.CountsWithin(kThawLimit));
  const auto began = Deadline::Clock::now();

  EXPECT_THAT(guard.Disarm(), StatusIs(Code::kDeadlineExceeded));

  EXPECT_LT(Deadline::Clock::now() - began, seconds(1));
  EXPECT_THAT(guard.Disarm(), IsOk());
}

TEST_P(GuardTest, AParentThatDiesAfterTheDeadlineIsMissedAsWell) {
  CounterInCgroup counter(GetParam());
  CRYOPOD_SKIP_WITHOUT(counter);
  FakeCriu criu(counter);
  std::optional<Guard> guard;
  ForkedParent parent([&] {
    Result<Guard> forked = Guard::Fork();
    if (!forked.ok()) return false;
    guard.emplace(std::move(forked).value());
    return WatchAndFreeze(*guard, counter, criu.pidfd()) &&
           guard->Arm(Deadline::After(milliseconds(100))).ok();
  });
  ASSERT_TRUE(parent.ready());
  ASSERT_TRUE(counter.CountsWithin(kThawLimit));

  parent.Kill();
  criu.FreezeAndEnd();

  EXPECT_TRUE(counter.CountsWithin(kThawLimit));
}

TEST_P(GuardTest, DisarmedItThawsNothing) {
  CounterInCgroup counter(GetParam());
  CRYOPOD_SKIP_WITHOUT(counter);
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(Guard guard, Guard::Fork());
    ASSERT_THAT(guard.Watch(counter.cgroup()), IsOk());
    ASSERT_THAT(guard.Arm(Deadline::After(milliseconds(200))), IsOk());
    ASSERT_THAT(guard.Disarm(), IsOk());
    counter.Freeze();  // somebody else's pause

    EXPECT_TRUE(counter.StandsStillFor(milliseconds(400)));
  }

  EXPECT_TRUE(counter.StandsStillFor(milliseconds(400)));
}

TEST_P(GuardTest, DestroyedItThawsWhatIsWatched) {
  CounterInCgroup counter(GetParam());
  CRYOPOD_SKIP_WITHOUT(counter);
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(Guard guard, Guard::Fork());
    ASSERT_THAT(guard.Watch(counter.cgroup()), IsOk());
    counter.Freeze();
    ASSERT_TRUE(counter.StandsStillFor(kQuiet));
  }

  EXPECT_TRUE(counter.CountsWithin(kThawLimit));
}

TEST_P(GuardTest, ACgroupThatIsGoneKeepsNoOtherFromBeingThawed) {
  CounterInCgroup counter(GetParam());
  CRYOPOD_SKIP_WITHOUT(counter);
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Guard guard, Guard::Fork());
  {
    CounterInCgroup gone(GetParam());
    ASSERT_THAT(guard.Watch(gone.cgroup()), IsOk());
  }
  ASSERT_THAT(guard.Watch(counter.cgroup()), IsOk());
  counter.Freeze();

  ASSERT_THAT(guard.Arm(Deadline::After(milliseconds(50))), IsOk());

  EXPECT_TRUE(counter.CountsWithin(kThawLimit));
}

TEST_P(GuardTest, AKilledGuardMakesTheNextCallFail) {
  CounterInCgroup counter(GetParam());
  CRYOPOD_SKIP_WITHOUT(counter);
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Guard guard, Guard::Fork());
  const UniqueFd pidfd = OpenPidfd(guard.pid()).value();
  ASSERT_EQ(::kill(guard.pid(), SIGKILL), 0);
  ASSERT_TRUE(PidfdEnded(pidfd.get(), Deadline::After(seconds(5))));

  EXPECT_FALSE(guard.Watch(counter.cgroup()).ok());
  EXPECT_FALSE(guard.Arm(Deadline::After(seconds(60))).ok());
}

INSTANTIATE_TEST_SUITE_P(Freezers, GuardTest,
                         ::testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                         test::VersionName);

TEST(GuardProcessTest, LivesInASessionOfItsOwnWithoutOurStreams) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Guard guard, Guard::Fork());
  ASSERT_THAT(guard.Disarm(), IsOk());  // it answers: it is set up

  EXPECT_EQ(::getsid(guard.pid()), guard.pid());
  for (const char* number : {"fd/0", "fd/1", "fd/2"}) {
    EXPECT_EQ(ReadProcLink(guard.pid(), number).value(), "/dev/null");
  }
  EXPECT_EQ(ReadProcessInfo(guard.pid())->command, "cryopod-guard");
}

TEST(GuardProcessTest, IgnoresPoliteSignals) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Guard guard, Guard::Fork());
  ASSERT_THAT(guard.Disarm(), IsOk());

  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::kill(guard.pid(), signal);

  EXPECT_THAT(guard.Disarm(), IsOk());
}

TEST(GuardProcessTest, EndsWithItsParent) {
  pid_t pid = -1;
  UniqueFd pidfd;
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(Guard guard, Guard::Fork());
    pid = guard.pid();
    pidfd = OpenPidfd(pid).value();
    Guard moved = std::move(guard);
    EXPECT_THAT(moved.Disarm(), IsOk());
  }

  EXPECT_TRUE(PidfdEnded(pidfd.get(), Deadline::After(seconds(2))));
  ::waitpid(pid, nullptr, WNOHANG);
}

}  // namespace
}  // namespace cryopod::checkpoint
