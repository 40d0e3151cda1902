#include "agent/checkpoint/repair_job.h"

#include <sys/ptrace.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/job_file.h"
#include "agent/os/mount.h"
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
using test::NamespaceHolder;
using ::testing::HasSubstr;

// A job's directory as a cryopod-checkpoint leaves it that was killed, the counter's container
// frozen.
class RepairJobTest : public test::CounterTest {
 protected:
  void SetUp() override {
    CounterTest::SetUp();
    if (IsSkipped()) return;
    counter_.Freeze();
    journal_.cgroups = {counter_.path()};
    journal_.inits = {jobs::IdentifyProcess(counter_.pid()).value()};
  }
  void TearDown() override {
    if (!criu_) return;
    (void)criu_->Kill(SIGKILL);
    (void)criu_->Wait(Soon());
  }

  std::string job_dir() const { return temp_.path(); }
  void Leave() const {
    ASSERT_THAT(jobs::WriteFileOf(job_dir(), jobs::kJournalFile, journal_), IsOk());
  }
  void DecideStop() const {
    jobs::CheckpointResult decided;
    decided.source_killed = true;
    ASSERT_THAT(jobs::WriteFileOf(job_dir(), jobs::kStoppingFile, decided), IsOk());
  }
  // A CRIU that works for ever.
  void StartCriu() {
    SpawnOptions options;
    options.argv = {"/bin/sleep", "600"};
    criu_.emplace(Subprocess::Spawn(options).value());
    journal_.criu = {jobs::IdentifyProcess(criu_->pid()).value()};
  }
  bool CriuLives() const { return !PidfdEnded(criu_->pidfd(), Deadline::After(milliseconds(0))); }

  cryopod::test::TempDirectory temp_;
  jobs::Journal journal_;
  std::optional<Subprocess> criu_;
};

TEST_P(RepairJobTest, ThawsWhatTheDeadProcessHadFrozen) {
  Leave();
  ASSERT_TRUE(counter_.StandsStill());

  EXPECT_THAT(ReleaseJob(job_dir()), IsOk());

  EXPECT_TRUE(counter_.Runs());
  EXPECT_THAT(RepairJob(job_dir(), Soon()), IsOk());
  EXPECT_THAT(RepairJob(job_dir(), Soon()), IsOk()) << "a second time is harmless";
}

TEST_P(RepairJobTest, WaitsForALivingCriuAndThawsAfterIt) {
  const pid_t criu = ::fork();
  if (criu == 0) {
    std::this_thread::sleep_for(milliseconds(400));
    (void)counter_.cgroup().Freeze();  // as CRIU does when it ends
    ::_exit(0);
  }
  journal_.criu = {jobs::IdentifyProcess(criu).value()};
  Leave();

  EXPECT_THAT(RepairJob(job_dir(), Soon()), IsOk());

  int status = -1;
  EXPECT_EQ(::waitpid(criu, &status, WNOHANG), criu) << "it was waited for";
  EXPECT_TRUE(WIFEXITED(status)) << "it was not killed inside its dump";
  EXPECT_TRUE(counter_.Runs());
}

TEST_P(RepairJobTest, ACriuBeyondTheDeadlineIsEndedAndReported) {
  StartCriu();
  Leave();

  EXPECT_THAT(RepairJob(job_dir(), Deadline::After(milliseconds(100))),
              StatusIs(Code::kDeadlineExceeded, HasSubstr(std::to_string(criu_->pid()))));

  EXPECT_EQ(criu_->Wait(Soon()).value().signal, SIGTERM);
  criu_.reset();
  EXPECT_TRUE(counter_.Runs());
}

TEST_P(RepairJobTest, ACriuThatHoldsTasksIsNeverKilledAndThePodIsNotReleased) {
  const NamespaceHolder criu(0, [] {
    const pid_t task = ::fork();
    if (task == 0) {
      while (true) ::pause();
    }
    return ::ptrace(PTRACE_SEIZE, task, nullptr, PTRACE_O_EXITKILL) == 0;
  });
  ASSERT_TRUE(criu.ready());
  journal_.criu = {jobs::IdentifyProcess(criu.init()).value()};
  Leave();

  EXPECT_THAT(RepairJob(job_dir(), Deadline::After(milliseconds(100))),
              StatusIs(Code::kDeadlineExceeded, HasSubstr("left to end by itself")));

  EXPECT_EQ(::kill(criu.init(), 0), 0);
  EXPECT_FALSE(IsReleased(job_dir()));
}

TEST_P(RepairJobTest, ThePodIsReleasedWhenItIsThawedAndNoCriuLives) {
  StartCriu();
  Leave();
  EXPECT_FALSE(IsReleased(job_dir()));

  ASSERT_THAT(criu_->Kill(SIGKILL), IsOk());
  ASSERT_THAT(criu_->Wait(Soon()), IsOk());
  criu_.reset();
  counter_.Freeze();

  EXPECT_TRUE(IsReleased(job_dir()));
  EXPECT_TRUE(counter_.Runs());
}

TEST_P(RepairJobTest, ASourceWhoseEndWasDecidedIsKilledAndNeverRunsAgain) {
  Leave();
  DecideStop();
  const uint64_t at_the_cut = counter_.count();

  EXPECT_THAT(ReleaseJob(job_dir()), IsOk());

  EXPECT_EQ(counter_.EndedBy(), SIGKILL);
  EXPECT_EQ(counter_.count(), at_the_cut);
  EXPECT_THAT(RepairJob(job_dir(), Soon()), IsOk()) << "a second time is harmless";
}

TEST_P(RepairJobTest, ADecisionThatWasOnlyHalfWrittenIsNone) {
  Leave();
  std::ofstream(job_dir() + "/" + jobs::kStoppingFile + ".partial") << "{";

  EXPECT_THAT(ReleaseJob(job_dir()), IsOk());

  EXPECT_TRUE(counter_.Runs());
}

TEST_P(RepairJobTest, AWaitForACriuEndsWhenItIsToldToAndKillsNothing) {
  StartCriu();
  Leave();
  std::stop_source stop;
  stop.request_stop();

  EXPECT_THAT(RepairJob(job_dir(), Deadline::After(seconds(3600)), stop.get_token()),
              StatusIs(Code::kCancelled));

  EXPECT_TRUE(CriuLives());
  EXPECT_TRUE(counter_.Runs()) << "thawed all the same";
}

TEST_P(RepairJobTest, AProcessThatGotTheCriusPidIsLeftAlone) {
  StartCriu();
  --journal_.criu[0].start_ticks;
  Leave();

  EXPECT_THAT(RepairJob(job_dir(), Deadline::After(milliseconds(0))), IsOk());

  EXPECT_TRUE(CriuLives());
}

TEST_P(RepairJobTest, ACgroupThatSomebodyElseHasNowIsNeitherThawedNorKilled) {
  ++journal_.inits[0].start_ticks;  // the container of the job is gone, its cgroup's name is not
  Leave();

  EXPECT_THAT(RepairJob(job_dir(), Soon()), IsOk());
  EXPECT_TRUE(counter_.StandsStillFor(milliseconds(300)));

  DecideStop();
  EXPECT_THAT(RepairJob(job_dir(), Soon()), IsOk());
  EXPECT_EQ(::waitpid(counter_.pid(), nullptr, WNOHANG), 0) << "it lives";
}

TEST_P(RepairJobTest, ACgroupThatIsGoneIsNoError) {
  journal_.cgroups.insert(journal_.cgroups.begin(), counter_.path() + "/gone");
  Leave();

  EXPECT_THAT(RepairJob(job_dir(), Soon()), IsOk());

  EXPECT_TRUE(counter_.Runs());
}

TEST_P(RepairJobTest, AnEmptyCgroupIsThawedSoThatItsNextUserCanRun) {
  counter_.End();
  counter_.Freeze();
  Leave();

  EXPECT_THAT(ReleaseJob(job_dir()), IsOk());

  EXPECT_EQ(counter_.cgroup().State().value(), FreezeState::kThawed);
}

INSTANTIATE_TEST_SUITE_P(Freezers, RepairJobTest, test::kBothVersions, test::VersionName);

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

TEST(RepairJobStagingTest, AJobThatNeverFrozeAnythingNeedsNoJournalAndADamagedOneIsAnError) {
  cryopod::test::TempDirectory job;
  EXPECT_THAT(ReleaseJob(job.path()), IsOk());
  EXPECT_THAT(RepairJob(job.path(), Soon()), IsOk());

  std::ofstream(job.path() / jobs::kJournalFile) << "{";
  EXPECT_THAT(ReleaseJob(job.path()), StatusIs(Code::kDataLoss, HasSubstr(jobs::kJournalFile)));
  EXPECT_FALSE(RepairJob(job.path(), Soon()).ok());
}

}  // namespace
}  // namespace cryopod::checkpoint
