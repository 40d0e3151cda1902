// A process of a restore that was killed, and the next one on the same job.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>

#include "agent/os/mount.h"
#include "restore/runtime/protocol/container_marks.h"
#include "tests/unit/restore/pod_restore_fixture.h"
#include "tests/unit/restore/runtime/protocol/sample_record.h"

namespace cryopod::restore {
namespace {

using wrapper::Answer;

class AdoptRestoreTest : public PodRestoreFixture {
 protected:
  // The process dies without a word; another one begins with what it saved.
  PodRestore& BeginAnew() { return MakePod(job_, SavedReport()); }
};

TEST_F(AdoptRestoreTest, WhatWasHeldIsRecordedAndLetRun) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = RestoreAndStart(app);

  BeginAnew();

  EXPECT_FALSE(IsStopped(pid));
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kStarted);
  EXPECT_FALSE(IsHeld(app));
  EXPECT_TRUE(IsConsumed("app"));
}

TEST_F(AdoptRestoreTest, WhatWasRecordedBeforeThatCouldBeSavedIsLetRun) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = Restore(app);
  const jobs::Report before = SavedReport();
  ASSERT_EQ(pod().OnStart(StartRequest(app)), Answer::Pass());
  ASSERT_THAT(wrapper::AddConsumed(job_.state_dir, job_.pod_uid,
                                   test::SampleRecord(job_.restore_from, {"app"})),
              test::IsOk());

  MakePod(job_, before);

  EXPECT_FALSE(IsStopped(pid));
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kStarted);
  EXPECT_FALSE(IsHeld(app));
}

// Its runtime has been told that the start failed, and will make the container anew.
TEST_F(AdoptRestoreTest, WhoseStartWasNotAnsweredIsEndedAndNotConsumed) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = RestoreAndStart(app);
  ASSERT_THAT(wrapper::WriteRestoredMark(app.state_dir, app), test::IsOk());

  BeginAnew();

  EXPECT_TRUE(IsGone(pid));
  EXPECT_FALSE(IsConsumed("app"));
  EXPECT_TRUE(CanBeRestored("app", "c2"));
}

TEST_F(AdoptRestoreTest, WhatAnEarlierRestoreOfThePodHasLetRunIsNotAskedForAgain) {
  RestoreAndStart(CreateRequest("app", "c1"));
  ASSERT_THAT(pod().ReleaseHeld(), test::IsOk());

  MakePod(job_);
  WorkAll();

  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kColdStarted);
  EXPECT_FALSE(std::filesystem::exists(job_.staging_dir + "/app"));
  RestoreAndStart(CreateRequest("sidecar", "c2"));
  EXPECT_TRUE(pod().finished());
}

TEST_F(AdoptRestoreTest, WhatWasRestoredCanStillBeStarted) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = Restore(app);

  BeginAnew();

  EXPECT_TRUE(IsStopped(pid));
  EXPECT_EQ(pod().OnStart(StartRequest(app)), Answer::Pass());
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kHeld);
}

TEST_F(AdoptRestoreTest, WhatWasBeingRestoredIsEndedAndTriedAgain) {
  const wrapper::Request app = Begin("app", "c1");
  const auto half_done = static_cast<pid_t>(RestoreProcess(app).pid);

  BeginAnew();

  EXPECT_TRUE(IsGone(half_done));
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kWaiting);
  EXPECT_TRUE(CanBeRestored("app", "c2"));
}

TEST_F(AdoptRestoreTest, WhatHasEndedMeanwhileIsRestoredAnew) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = Restore(app);
  ASSERT_THAT(processes_.front().Kill(SIGKILL), test::IsOk());
  ASSERT_TRUE(IsGone(pid));

  BeginAnew();

  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kWaiting);
}

TEST_F(AdoptRestoreTest, StagingBeginsAgainOnlyForWhatNeedsIt) {
  WorkAll();
  Restore(CreateRequest("app", "c1"));

  BeginAnew();
  WorkAll();

  EXPECT_FALSE(std::filesystem::exists(job_.staging_dir + "/app"));
  EXPECT_TRUE(std::filesystem::exists(job_.staging_dir + "/sidecar/pstree.img"));
}

TEST_F(AdoptRestoreTest, EndingWhatAKilledProcessLeftLeavesNothing) {
  WorkAll();
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t held = RestoreAndStart(app);
  const pid_t never_ran = Restore(CreateRequest("sidecar", "c2"));

  SpawnOptions options;
  options.argv = {CRYOPOD_RESTORE_PROGRAM, "--job", job_dir(), "--end"};
  WriteRequestFile();
  const Result<CommandOutput> ended =
      RunCommand(options, Deadline::After(std::chrono::seconds(20)));

  ASSERT_THAT(ended, test::IsOk());
  EXPECT_EQ(ended->status.exit_code, 3) << ended->text;
  EXPECT_FALSE(IsStopped(held));
  EXPECT_FALSE(IsGone(held));
  EXPECT_TRUE(IsGone(never_ran));
  EXPECT_FALSE(IsMountPoint(job_.staging_dir));
}

}  // namespace
}  // namespace cryopod::restore
