#include "agent/checkpoint/repair_job.h"

#include <sys/socket.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/job_file.h"
#include "agent/os/file.h"
#include "agent/os/mount.h"
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

constexpr milliseconds kLimit{1000};
constexpr milliseconds kQuiet{150};

Deadline Soon() { return Deadline::After(seconds(10)); }

// A job's directory as a cryopod-checkpoint leaves it that was killed.
class RepairJobTest : public ::testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override { CRYOPOD_SKIP_WITHOUT(counter_); }

  std::string job_dir() const { return temp_.path(); }
  void Leave(const jobs::Journal& journal) const {
    ASSERT_THAT(jobs::WriteFileOf(job_dir(), jobs::kJournalFile, journal), IsOk());
  }
  void DecideStop() const {
    jobs::CheckpointResult decided;
    decided.source_killed = true;
    ASSERT_THAT(jobs::WriteFileOf(job_dir(), jobs::kStoppingFile, decided), IsOk());
  }
  // The counter's container, frozen.
  jobs::Journal FrozenJournal() const {
    counter_.Freeze();
    return {{counter_.path()}, {}, {jobs::IdentifyProcess(counter_.pid()).value()}, ""};
  }

  CounterInCgroup counter_{GetParam()};
  cryopod::test::TempDirectory temp_;
};

TEST_P(RepairJobTest, ThawsWhatTheDeadProcessHadFrozen) {
  Leave(FrozenJournal());
  ASSERT_TRUE(counter_.StandsStillFor(kQuiet));

  EXPECT_THAT(ReleaseJob(job_dir()), IsOk());

  EXPECT_TRUE(counter_.CountsWithin(kLimit));
  EXPECT_THAT(RepairJob(job_dir(), Soon()), IsOk());
  EXPECT_THAT(RepairJob(job_dir(), Soon()), IsOk()) << "a second time is harmless";
}

TEST_P(RepairJobTest, WaitsForALivingCriuAndThawsAfterIt) {
  jobs::Journal journal = FrozenJournal();
  const pid_t criu = ::fork();
  if (criu == 0) {
    std::this_thread::sleep_for(milliseconds(400));
    (void)counter_.cgroup().Freeze();  // as CRIU does when it ends
    ::_exit(0);
  }
  journal.criu = {jobs::IdentifyProcess(criu).value()};
  Leave(journal);
  const auto began = Deadline::Clock::now();

  EXPECT_THAT(RepairJob(job_dir(), Soon()), IsOk());

  EXPECT_GE(Deadline::Clock::now() - began, milliseconds(350));
  EXPECT_TRUE(counter_.CountsWithin(kLimit));
  int status = -1;
  ASSERT_EQ(::waitpid(criu, &status, 0), criu);
  EXPECT_TRUE(WIFEXITED(status)) << "it was not killed inside its dump";
}

TEST_P(RepairJobTest, ACriuBeyondTheDeadlineIsEndedAndReported) {
  jobs::Journal journal = FrozenJournal();
  const pid_t criu = ::fork();
  if (criu == 0) {
    while (true) ::pause();
  }
  journal.criu = {jobs::IdentifyProcess(criu).value()};
  Leave(journal);

  EXPECT_THAT(RepairJob(job_dir(), Deadline::After(milliseconds(100))),
              StatusIs(Code::kDeadlineExceeded, HasSubstr(std::to_string(criu))));

  int status = -1;
  ASSERT_EQ(::waitpid(criu, &status, 0), criu);
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
  EXPECT_TRUE(counter_.CountsWithin(kLimit));
}

TEST_P(RepairJobTest, ASourceWhoseEndWasDecidedIsKilledAndNeverRunsAgain) {
  Leave(FrozenJournal());
  DecideStop();
  const uint64_t at_the_cut = counter_.count();

  EXPECT_THAT(ReleaseJob(job_dir()), IsOk());

  int status = -1;
  ASSERT_EQ(::waitpid(counter_.pid(), &status, 0), counter_.pid());
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_EQ(counter_.count(), at_the_cut);
  EXPECT_THAT(RepairJob(job_dir(), Soon()), IsOk()) << "a second time is harmless";
}

TEST_P(RepairJobTest, ADecisionThatWasOnlyHalfWrittenIsNone) {
  Leave(FrozenJournal());
  std::ofstream(job_dir() + "/" + jobs::kStoppingFile + ".partial") << "{";

  EXPECT_THAT(ReleaseJob(job_dir()), IsOk());

  EXPECT_TRUE(counter_.CountsWithin(kLimit));
}

TEST_P(RepairJobTest, TheEndOfACgroupThatIsSomebodyElsesIsNotDecidedHere) {
  jobs::Journal journal = FrozenJournal();
  ++journal.inits[0].start_ticks;
  Leave(journal);
  DecideStop();

  EXPECT_THAT(RepairJob(job_dir(), Soon()), IsOk());

  EXPECT_EQ(::waitpid(counter_.pid(), nullptr, WNOHANG), 0) << "it lives";
}

TEST_P(RepairJobTest, AWaitForACriuEndsWhenItIsToldToAndKillsNothing) {
  jobs::Journal journal = FrozenJournal();
  const pid_t criu = ::fork();
  if (criu == 0) {
    while (true) ::pause();
  }
  journal.criu = {jobs::IdentifyProcess(criu).value()};
  Leave(journal);
  std::stop_source stop;
  stop.request_stop();

  EXPECT_THAT(RepairJob(job_dir(), Deadline::After(seconds(3600)), stop.get_token()),
              StatusIs(Code::kCancelled));

  EXPECT_EQ(::waitpid(criu, nullptr, WNOHANG), 0) << "it works on";
  EXPECT_TRUE(counter_.CountsWithin(kLimit)) << "thawed all the same";
  ::kill(criu, SIGKILL);
  ::waitpid(criu, nullptr, 0);
}

TEST_P(RepairJobTest, AProcessThatGotTheCriusPidIsLeftAlone) {
  jobs::Journal journal = FrozenJournal();
  const pid_t other = ::fork();
  if (other == 0) {
    while (true) ::pause();
  }
  jobs::ProcessIdentity identity = jobs::IdentifyProcess(other).value();
  --identity.start_ticks;
  journal.criu = {identity};
  Leave(journal);

  EXPECT_THAT(RepairJob(job_dir(), Deadline::After(milliseconds(0))), IsOk());

  EXPECT_EQ(::waitpid(other, nullptr, WNOHANG), 0) << "it lives";
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
}

TEST_P(RepairJobTest, ACgroupThatSomebodyElsePausedIsLeftAlone) {
  jobs::Journal journal = FrozenJournal();
  ++journal.inits[0].start_ticks;  // the container of the job is gone, its cgroup's name is not
  Leave(journal);

  EXPECT_THAT(RepairJob(job_dir(), Soon()), IsOk());

  EXPECT_TRUE(counter_.StandsStillFor(milliseconds(300)));
}

TEST_P(RepairJobTest, ACgroupThatIsGoneIsNoError) {
  jobs::Journal journal = FrozenJournal();
  journal.cgroups.insert(journal.cgroups.begin(), counter_.path() + "/gone");
  Leave(journal);

  EXPECT_THAT(RepairJob(job_dir(), Soon()), IsOk());

  EXPECT_TRUE(counter_.CountsWithin(kLimit));
}

TEST_P(RepairJobTest, AnEmptyCgroupIsThawedSoThatItsNextUserCanRun) {
  jobs::Journal journal = FrozenJournal();
  counter_.End();
  counter_.Freeze();
  Leave(journal);

  EXPECT_THAT(ReleaseJob(job_dir()), IsOk());

  EXPECT_EQ(counter_.cgroup().State().value(), FreezeState::kThawed);
}

INSTANTIATE_TEST_SUITE_P(Freezers, RepairJobTest,
                         ::testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                         test::VersionName);

TEST(RepairJobStagingTest, UnmountsTheStagingAreaAndRemovesTheOneOnDisk) {
  if (::geteuid() != 0) GTEST_SKIP() << "mounts need root";
  cryopod::test::TempDirectory job;
  cryopod::test::TempDirectory state;
  const std::string memory_path = job.path() / jobs::kStagingDirectory;
  const std::string disk_path = state.path() / "staging";
  ASSERT_THAT(MountTmpfs(memory_path, 1 << 20), IsOk());
  std::filesystem::create_directories(disk_path + "/app.images");
  ASSERT_THAT(
      jobs::WriteFileOf(job.path(), jobs::kJournalFile, jobs::Journal{{}, {}, {}, disk_path}),
      IsOk());

  EXPECT_THAT(RepairJob(job.path(), Soon()), IsOk());

  EXPECT_FALSE(IsMountPoint(memory_path));
  EXPECT_FALSE(std::filesystem::exists(disk_path));
  EXPECT_TRUE(std::filesystem::exists(job.path() / jobs::kJournalFile))
      << "the directory itself stays";
}

TEST(RepairJobStagingTest, AJobThatNeverFrozeAnythingNeedsNoJournal) {
  cryopod::test::TempDirectory job;

  EXPECT_THAT(ReleaseJob(job.path()), IsOk());
  EXPECT_THAT(RepairJob(job.path(), Soon()), IsOk());
}

TEST(RepairJobStagingTest, ADamagedJournalIsAnError) {
  cryopod::test::TempDirectory job;
  std::ofstream(job.path() / jobs::kJournalFile) << "{";

  EXPECT_THAT(ReleaseJob(job.path()), StatusIs(Code::kDataLoss, HasSubstr(jobs::kJournalFile)));
  EXPECT_FALSE(RepairJob(job.path(), Soon()).ok());
}

}  // namespace
}  // namespace cryopod::checkpoint
