#include "agent/checkpoint/guard.h"

#include <filesystem>
#include <optional>
#include <utility>

#include "agent/jobs/job_file.h"
#include "agent/os/file.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/container_processes.h"

namespace cryopod::checkpoint {
namespace {

using cryopod::test::IsOk;
using cryopod::test::Soon;
using cryopod::test::StatusIs;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::CounterInCgroup;
using test::NamespaceHolder;
using ::testing::HasSubstr;

constexpr milliseconds kBeyondTheAftermath{700};

// What CRIU does to the cgroup: whenever it is told to, it freezes it and ends.
class FakeCriu {
 public:
  explicit FakeCriu(const CounterInCgroup& counter) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    const UniqueFd read_end(ends[0]);
    write_end_ = UniqueFd(ends[1]);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::setsid();
      write_end_.Reset();
      char told = 0;
      (void)!::read(read_end.get(), &told, 1);
      const Cgroup leaf = counter.cgroup();
      (void)leaf.Freeze();
      (void)leaf.WaitFrozen(Soon());
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
    ASSERT_EQ(::write(write_end_.get(), "g", 1), 1);
    ASSERT_TRUE(PidfdEnded(pidfd_.get(), Soon()));
  }

 private:
  UniqueFd write_end_;
  UniqueFd pidfd_;
  pid_t pid_ = -1;
};

class GuardTest : public test::CounterTest {
 protected:
  // In a process of its own, the parent that is guarded, which a test kills: no expectations, they
  // would be lost.
  bool ForkGuardAndFreeze(const std::vector<int>& criu_pidfds, int job_dir_fd = -1) {
    Result<Guard> forked = Guard::Fork(job_dir_fd);
    if (!forked.ok()) return false;
    guard_.emplace(std::move(forked).value());
    const Cgroup leaf = counter_.cgroup();
    bool watches = guard_->Watch(leaf).ok();
    for (const int pidfd : criu_pidfds) watches = watches && guard_->WatchCriu(pidfd).ok();
    return watches && guard_->Arm(Deadline::After(seconds(60))).ok() && leaf.Freeze().ok() &&
           leaf.WaitFrozen(Deadline::After(seconds(5))).ok();
  }
  // A guard of this process.
  Guard Watching() const {
    Guard guard = Guard::Fork().value();
    EXPECT_THAT(guard.Watch(counter_.cgroup()), IsOk());
    return guard;
  }

  std::optional<Guard> guard_;
};

TEST_P(GuardTest, ThawsWithinASecondWhenTheParentIsKilled) {
  NamespaceHolder parent(0, [&] { return ForkGuardAndFreeze({}); });
  ASSERT_TRUE(parent.ready());
  ASSERT_TRUE(counter_.StandsStill());

  parent.Kill();

  EXPECT_TRUE(counter_.Runs());
}

// A cgroup whose file cannot be written, as on a file system that has become read-only.
TEST(GuardOfUnwritableCgroupTest, IsThawedAsSoonAsItCanBe) {
  const cryopod::test::TempDirectory leaf;
  const std::string state = leaf.path() / "cgroup.freeze";
  const std::string later = leaf.path() / "later";
  std::filesystem::create_directory(state);
  cryopod::test::WriteText(later, "1");
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(Guard guard, Guard::Fork());
    CRYOPOD_ASSERT_OK_AND_ASSIGN(UniqueFd directory, OpenDirectory(leaf.path()));
    ASSERT_THAT(
        guard.Watch(Cgroup::FromDirectory(std::move(directory), CgroupVersion::kV2, "leaf")),
        IsOk());
  }  // its parent is gone
  std::this_thread::sleep_for(kBeyondTheAftermath);

  ASSERT_EQ(::renameat2(AT_FDCWD, later.c_str(), AT_FDCWD, state.c_str(), RENAME_EXCHANGE), 0);

  const Deadline patience = Soon();
  while (cryopod::test::ReadText(state) != "0" && !patience.expired()) ::usleep(10'000);
  EXPECT_EQ(cryopod::test::ReadText(state), "0");
}

TEST_P(GuardTest, KillsInsteadWhenTheEndOfTheSourceIsDecided) {
  const cryopod::test::TempDirectory job;
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd directory, OpenDirectory(job.path()));
  NamespaceHolder parent(0, [&] {
    return ForkGuardAndFreeze({}, directory.get()) &&
           WriteFileAtomically(directory.get(), jobs::kStoppingFile, "{}").ok();
  });
  ASSERT_TRUE(parent.ready());
  const uint64_t at_the_cut = counter_.count();

  parent.Kill();

  EXPECT_EQ(counter_.EndedBy(), SIGKILL);
  EXPECT_EQ(counter_.count(), at_the_cut) << "nothing of it ran past the cut";
}

TEST_P(GuardTest, ThawsAgainAfterEveryCriuThatFreezesWhenItEnds) {
  FakeCriu first(counter_);
  FakeCriu second(counter_);
  NamespaceHolder parent(0, [&] { return ForkGuardAndFreeze({first.pidfd(), second.pidfd()}); });
  ASSERT_TRUE(parent.ready());
  parent.Kill();
  ASSERT_TRUE(counter_.Runs());

  for (FakeCriu* const criu : {&first, &second}) {
    std::this_thread::sleep_for(kBeyondTheAftermath);
    criu->FreezeAndEnd();
    EXPECT_TRUE(counter_.Runs());
  }
}

TEST_P(GuardTest, ThawsAtTheDeadlineAndTellsItsLivingParent) {
  Guard guard = Watching();
  counter_.Freeze();
  ASSERT_TRUE(counter_.StandsStillFor(milliseconds(100)));

  ASSERT_THAT(guard.Arm(Deadline::After(milliseconds(50))), IsOk());

  EXPECT_TRUE(counter_.Runs());

  EXPECT_THAT(guard.Arm(Deadline::After(seconds(60))),
              StatusIs(Code::kDeadlineExceeded, HasSubstr("beyond its deadline")));
  EXPECT_THAT(guard.Disarm(), StatusIs(Code::kDeadlineExceeded));
  // What is told once is over: the next attempt begins anew.
  EXPECT_THAT(guard.Watch(counter_.cgroup()), IsOk());
  EXPECT_THAT(guard.Arm(Deadline::After(seconds(60))), IsOk());
}

TEST_P(GuardTest, AnswersAtOnceWhileItWaitsForACriuAfterTheDeadline) {
  FakeCriu criu(counter_);
  Guard guard = Watching();
  ASSERT_THAT(guard.WatchCriu(criu.pidfd()), IsOk());
  counter_.Freeze();
  ASSERT_THAT(guard.Arm(Deadline::After(milliseconds(50))), IsOk());
  ASSERT_TRUE(counter_.Runs());
  const auto began = Deadline::Clock::now();

  EXPECT_THAT(guard.Disarm(), StatusIs(Code::kDeadlineExceeded));

  EXPECT_LT(Deadline::Clock::now() - began, seconds(1));
  EXPECT_THAT(guard.Disarm(), IsOk());
}

TEST_P(GuardTest, AParentThatDiesAfterTheDeadlineIsMissedAsWell) {
  FakeCriu criu(counter_);
  NamespaceHolder parent(0, [&] {
    return ForkGuardAndFreeze({criu.pidfd()}) &&
           guard_->Arm(Deadline::After(milliseconds(100))).ok();
  });
  ASSERT_TRUE(parent.ready());
  ASSERT_TRUE(counter_.Runs());

  parent.Kill();
  criu.FreezeAndEnd();

  EXPECT_TRUE(counter_.Runs());
}

TEST_P(GuardTest, DisarmedItThawsNothing) {
  {
    Guard guard = Watching();
    ASSERT_THAT(guard.Arm(Deadline::After(milliseconds(200))), IsOk());
    ASSERT_THAT(guard.Disarm(), IsOk());
    counter_.Freeze();  // somebody else's pause

    EXPECT_TRUE(counter_.StandsStillFor(milliseconds(400)));
  }

  EXPECT_TRUE(counter_.StandsStillFor(milliseconds(400)));
}

TEST_P(GuardTest, DestroyedItThawsWhatIsWatched) {
  {
    const Guard guard = Watching();
    counter_.Freeze();
    ASSERT_TRUE(counter_.StandsStill());
  }

  EXPECT_TRUE(counter_.Runs());
}

TEST_P(GuardTest, ACgroupThatIsGoneKeepsNoOtherFromBeingThawed) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Guard guard, Guard::Fork());
  {
    CounterInCgroup gone(GetParam());
    ASSERT_THAT(guard.Watch(gone.cgroup()), IsOk());
  }
  ASSERT_THAT(guard.Watch(counter_.cgroup()), IsOk());
  counter_.Freeze();

  ASSERT_THAT(guard.Arm(Deadline::After(milliseconds(50))), IsOk());

  EXPECT_TRUE(counter_.Runs());
}

TEST_P(GuardTest, AKilledGuardMakesTheNextCallFail) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Guard guard, Guard::Fork());
  const UniqueFd pidfd = OpenPidfd(guard.pid()).value();
  ASSERT_EQ(::kill(guard.pid(), SIGKILL), 0);
  ASSERT_TRUE(PidfdEnded(pidfd.get(), Soon()));

  EXPECT_FALSE(guard.Watch(counter_.cgroup()).ok());
  EXPECT_FALSE(guard.Arm(Deadline::After(seconds(60))).ok());
}

INSTANTIATE_TEST_SUITE_P(Freezers, GuardTest, test::kBothVersions, test::VersionName);

TEST(GuardProcessTest, LivesInASessionOfItsOwnWithoutOurStreamsAndIgnoresPoliteSignals) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Guard guard, Guard::Fork());
  ASSERT_THAT(guard.Disarm(), IsOk());  // it answers: it is set up

  EXPECT_EQ(::getsid(guard.pid()), guard.pid());
  for (const char* number : {"fd/0", "fd/1", "fd/2"}) {
    EXPECT_EQ(ReadProcLink(guard.pid(), number).value(), "/dev/null");
  }
  EXPECT_EQ(ReadProcessInfo(guard.pid())->command, "cryopod-guard");

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

  EXPECT_TRUE(PidfdEnded(pidfd.get(), Soon()));
  ::waitpid(pid, nullptr, WNOHANG);
}

}  // namespace
}  // namespace cryopod::checkpoint
