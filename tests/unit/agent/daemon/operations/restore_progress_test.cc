#include "agent/daemon/operations/restore_progress.h"

#include "agent/jobs/restore_job.h"
#include "tests/unit/agent/daemon/daemon_fixture.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using jobs::Phase;
using jobs::Report;
using jobs::Stage;
using ::testing::AllOf;
using ::testing::HasSubstr;

class RestoreProgressTest : public test::AgentFixture {
 protected:
  RestoreProgressTest() { std::filesystem::create_directory(job_dir_); }
  void Write(Stage stage, Phase phase, const std::string& id = "c1",
             Reason reason = Reason::kNone) {
    Report report;
    report.stage = stage;
    jobs::ContainerReport container;
    container.name = "app";
    container.id = id;
    container.phase = phase;
    container.reason_code = reason;
    report.containers = {container};
    Write(report);
  }
  void Write(const Report& report) {
    ASSERT_THAT(jobs::WriteFileOf(job_dir_, jobs::kStateFile, report), IsOk());
    // Two reports within one tick of the file system's clock would look like one.
    const auto time =
        std::filesystem::file_time_type::clock::now() + std::chrono::seconds(++writes_);
    std::filesystem::last_write_time(job_dir_ + "/" + jobs::kStateFile, time);
  }
  void Look(Stage stage, Phase phase, const std::string& id = "c1", Reason reason = Reason::kNone) {
    Write(stage, phase, id, reason);
    progress_.Look();
  }
  auto Counts(int success, int failure, int running) const {
    const std::string total = "cryopod_pod_restore_operations_total{result=";
    return AllOf(HasSubstr(total + "\"success\"} " + std::to_string(success) + "\n"),
                 HasSubstr(total + "\"failure\"} " + std::to_string(failure) + "\n"),
                 HasSubstr("cryopod_operations_running{operation_type=\"restore_pod\"} " +
                           std::to_string(running) + "\n"));
  }

  const std::string job_dir_ = JobDir("r-1");
  int writes_ = 0;
  const std::shared_ptr<Operation> operation_ = std::make_shared<Operation>(OperationFacts());
  RestoreProgress progress_{metrics_, operation_, job_dir_};
};

TEST_F(RestoreProgressTest, ARestoreRunsFromItsFirstRequestToTheEndOfItsProcess) {
  progress_.Begin();
  progress_.Begin();
  EXPECT_THAT(metrics_.Serialize(), Counts(0, 0, 1));
  Look(Stage::kServing, Phase::kRestoring);
  EXPECT_THAT(metrics_.Serialize(), Counts(0, 0, 1));

  Write(Stage::kRestored, Phase::kStarted);

  EXPECT_THAT(progress_.End(), IsOk());

  EXPECT_THAT(metrics_.Serialize(), Counts(1, 0, 0));
}

TEST_F(RestoreProgressTest, TheOperationTellsTheStageAndTheContainerThatIsRestored) {
  Look(Stage::kStaging, Phase::kWaiting);
  Look(Stage::kServing, Phase::kRestoring);
  Look(Stage::kServing, Phase::kHeld);

  EXPECT_THAT(StagesOf(*operation_), ::testing::ElementsAre("staging", "restoring app", "serving"));
}

TEST_F(RestoreProgressTest, OneThatWasCancelledSaysThatAndNotThatItsProcessDied) {
  ASSERT_THAT(operation_->Cancel(), IsOk());
  progress_.Begin();

  EXPECT_THAT(progress_.End(), StatusIs(Code::kCancelled));

  EXPECT_THAT(metrics_.Serialize(), AllOf(Counts(0, 1, 0), HasSubstr("reason=\"cancelled\"")));
}

TEST_F(RestoreProgressTest, ACancellationThatCameTooLateChangesNothing) {
  progress_.Begin();
  Write(Stage::kRestored, Phase::kStarted);
  ASSERT_THAT(operation_->Cancel(), IsOk());

  EXPECT_THAT(progress_.End(), IsOk());
}

TEST_F(RestoreProgressTest, AFailedContainerCountsOnceWithItsReasonHoweverOftenOneLooks) {
  progress_.Begin();
  Look(Stage::kServing, Phase::kFailed, "c1", Reason::kAddress);
  progress_.Look();
  Look(Stage::kServing, Phase::kFailed, "c1", Reason::kAddress);

  EXPECT_THAT(
      metrics_.Serialize(),
      AllOf(Counts(0, 1, 0), HasSubstr("{operation_type=\"restore_pod\",reason=\"address\"} 1")));
}

TEST_F(RestoreProgressTest, ASecondTryIsAnotherOneAndItsSuccessIsTheRestores) {
  progress_.Begin();
  Look(Stage::kServing, Phase::kFailed, "c1", Reason::kPidTaken);
  progress_.Begin();
  Look(Stage::kServing, Phase::kFailed, "c2", Reason::kPidTaken);
  EXPECT_THAT(metrics_.Serialize(), Counts(0, 2, 0));

  progress_.Begin();
  Write(Stage::kRestored, Phase::kStarted, "c3");
  EXPECT_THAT(progress_.End(), IsOk());

  EXPECT_THAT(metrics_.Serialize(), Counts(1, 2, 0));
}

TEST_F(RestoreProgressTest, ANodeThatDoesNotFitCountsEveryTimeItIsFound) {
  Report report;
  report.stage = Stage::kFailed;
  report.error = Status(Code::kFailedPrecondition, "older kernel", Reason::kNodeDiffers);
  for (int i = 0; i < 2; ++i) {
    progress_.Begin();
    Write(report);
    progress_.Look();
  }

  EXPECT_THAT(metrics_.Serialize(),
              AllOf(Counts(0, 2, 0), HasSubstr("reason=\"node_differs\"} 2")));
}

TEST_F(RestoreProgressTest, AProcessThatDiedIsAFailure) {
  progress_.Begin();

  EXPECT_EQ(progress_.End().reason(), Reason::kProcessDied);

  EXPECT_THAT(metrics_.Serialize(), AllOf(Counts(0, 1, 0), HasSubstr("reason=\"process_died\"")));
}

TEST_F(RestoreProgressTest, APodThatNobodyAskedForAgainIsCancelled) {
  progress_.Begin();
  Write(Stage::kAbandoned, Phase::kStaged);

  EXPECT_THAT(progress_.End(), StatusIs(Code::kCancelled));

  EXPECT_THAT(metrics_.Serialize(), AllOf(Counts(0, 1, 0), HasSubstr("reason=\"cancelled\"")));
}

TEST_F(RestoreProgressTest, AFailureThatWasCountedDoesNotCountAgainAtTheEnd) {
  progress_.Begin();
  Look(Stage::kServing, Phase::kFailed, "c1", Reason::kAddress);
  Write(Stage::kAbandoned, Phase::kFailed, "c1", Reason::kAddress);

  EXPECT_EQ(progress_.End().reason(), Reason::kAddress);

  EXPECT_THAT(metrics_.Serialize(), Counts(0, 1, 0));
}

TEST_F(RestoreProgressTest, ACallersFailureIsExplainedByItsJob) {
  jobs::RestoreJob job;
  job.operation_id = "r-1";
  job.archive = job.restore_from = "a";
  job.pod_uid = "u-1";
  job.restore_operation = "op";
  job.store_root = job.state_dir = job.unpack_program = job.staging_dir = "/";
  ASSERT_THAT(jobs::WriteFileOf(job_dir_, jobs::kRequestFile, job), IsOk());
  Write(Stage::kServing, Phase::kFailed, "c1", Reason::kMountAbsent);

  EXPECT_EQ(ReasonOfRestore(config_.jobs_dir(), "op"), Reason::kMountAbsent);
  EXPECT_EQ(ReasonOfRestore(config_.jobs_dir(), "another"), Reason::kNone);
  EXPECT_EQ(ReasonOfRestore(temp_.path() / "absent", "op"), Reason::kNone);
}

}  // namespace
}  // namespace cryopod::daemon
