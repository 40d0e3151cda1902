#include "agent/daemon/operations/restore_count.h"
#include "agent/jobs/restore_job.h"
#include "agent/os/file.h"
#include "tests/unit/agent/daemon/daemon_fixture.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using jobs::Phase;
using jobs::Report;
using jobs::Stage;
using ::testing::AllOf;
using ::testing::HasSubstr;

class RestoreCountTest : public test::AgentFixture {
 protected:
  RestoreCountTest() { std::filesystem::create_directory(job_dir_); }
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
    const UniqueFd directory = OpenDirectory(job_dir_).value();
    ASSERT_THAT(jobs::WriteReport(directory.get(), report), IsOk());
    // Two reports within one tick of the file system's clock would look like one.
    const auto time =
        std::filesystem::file_time_type::clock::now() + std::chrono::seconds(++writes_);
    std::filesystem::last_write_time(job_dir_ + "/" + restore::kStateFile, time);
  }
  auto Counts(int success, int failure, int running) const {
    const std::string total = "cryopod_pod_restore_operations_total{result=";
    return AllOf(HasSubstr(total + "\"success\"} " + std::to_string(success) + "\n"),
                 HasSubstr(total + "\"failure\"} " + std::to_string(failure) + "\n"),
                 HasSubstr("cryopod_operations_running{operation_type=\"restore_pod\"} " +
                           std::to_string(running) + "\n"));
  }

  const std::string job_dir_ = config_.jobs_dir() + "/r-1";
  int writes_ = 0;
  metrics::AgentMetrics metrics_;
  RestoreCount count_{metrics_, job_dir_};
};

TEST_F(RestoreCountTest, ARestoreRunsFromItsFirstRequestToTheEndOfItsProcess) {
  count_.Begin();
  count_.Begin();
  EXPECT_THAT(metrics_.Serialize(), Counts(0, 0, 1));
  Write(Stage::kServing, Phase::kRestoring);
  count_.Look();
  EXPECT_THAT(metrics_.Serialize(), Counts(0, 0, 1));

  Write(Stage::kRestored, Phase::kStarted);
  count_.End();

  EXPECT_THAT(metrics_.Serialize(), Counts(1, 0, 0));
}

TEST_F(RestoreCountTest, AFailedContainerCountsOnceWithItsReasonHoweverOftenOneLooks) {
  count_.Begin();
  Write(Stage::kServing, Phase::kFailed, "c1", Reason::kAddress);
  count_.Look();
  count_.Look();
  Write(Stage::kServing, Phase::kFailed, "c1", Reason::kAddress);
  count_.Look();

  EXPECT_THAT(
      metrics_.Serialize(),
      AllOf(Counts(0, 1, 0), HasSubstr("{operation_type=\"restore_pod\",reason=\"address\"} 1")));
}

TEST_F(RestoreCountTest, ASecondTryIsAnotherOneAndItsSuccessIsTheRestores) {
  count_.Begin();
  Write(Stage::kServing, Phase::kFailed, "c1", Reason::kPidTaken);
  count_.Look();
  count_.Begin();
  Write(Stage::kServing, Phase::kFailed, "c2", Reason::kPidTaken);
  count_.Look();
  EXPECT_THAT(metrics_.Serialize(), Counts(0, 2, 0));

  count_.Begin();
  Write(Stage::kRestored, Phase::kStarted, "c3");
  count_.End();

  EXPECT_THAT(metrics_.Serialize(), Counts(1, 2, 0));
}

TEST_F(RestoreCountTest, ANodeThatDoesNotFitCountsEveryTimeItIsFound) {
  Report report;
  report.stage = Stage::kFailed;
  report.error = Status(Code::kFailedPrecondition, "older kernel", Reason::kNodeDiffers);
  for (int i = 0; i < 2; ++i) {
    count_.Begin();
    Write(report);
    count_.Look();
  }

  EXPECT_THAT(metrics_.Serialize(),
              AllOf(Counts(0, 2, 0), HasSubstr("reason=\"node_differs\"} 2")));
}

TEST_F(RestoreCountTest, AProcessThatDiedIsAFailure) {
  count_.Begin();
  count_.End();

  EXPECT_THAT(metrics_.Serialize(), AllOf(Counts(0, 1, 0), HasSubstr("reason=\"process_died\"")));
}

TEST_F(RestoreCountTest, APodThatNobodyAskedForAgainIsCancelled) {
  count_.Begin();
  Write(Stage::kAbandoned, Phase::kStaged);
  count_.End();

  EXPECT_THAT(metrics_.Serialize(), AllOf(Counts(0, 1, 0), HasSubstr("reason=\"cancelled\"")));
}

TEST_F(RestoreCountTest, AFailureThatWasCountedDoesNotCountAgainAtTheEnd) {
  count_.Begin();
  Write(Stage::kServing, Phase::kFailed, "c1", Reason::kAddress);
  count_.Look();
  Write(Stage::kAbandoned, Phase::kFailed, "c1", Reason::kAddress);

  count_.End();

  EXPECT_THAT(metrics_.Serialize(), Counts(0, 1, 0));
}

TEST_F(RestoreCountTest, ACallersFailureIsExplainedByItsJob) {
  std::ofstream(job_dir_ + "/request.json")
      << R"({"pod_uid":"u-1","restore_from":"a","restore_operation":"op"})";
  Write(Stage::kServing, Phase::kFailed, "c1", Reason::kMountAbsent);

  EXPECT_EQ(ReasonOfRestore(config_.jobs_dir(), "op"), Reason::kMountAbsent);
  EXPECT_EQ(ReasonOfRestore(config_.jobs_dir(), "another"), Reason::kNone);
  EXPECT_EQ(ReasonOfRestore(temp_.path() / "absent", "op"), Reason::kNone);
}

}  // namespace
}  // namespace cryopod::daemon
