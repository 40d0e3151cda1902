#include "agent/daemon/operations/record_metrics.h"

#include "tests/unit/agent/daemon/daemon_fixture.h"

namespace cryopod::daemon {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class RecordMetricsTest : public test::AgentFixture {
 protected:
  std::string Record(const jobs::CheckpointResult& result) {
    metrics_.BeginOperation(metrics::Operation::kCheckpoint);
    RecordCheckpoint(metrics_, result, milliseconds(1500));
    return metrics_.Serialize();
  }
};

TEST_F(RecordMetricsTest, ACheckpointCountsWithItsPhasesFreezeAndSizes) {
  EXPECT_THAT(
      Record(GoodResult()),
      AllOf(HasSubstr("cryopod_pod_checkpoint_freeze_seconds_count 1"),
            HasSubstr("cryopod_pod_checkpoint_size_bytes_sum 1234"),
            HasSubstr("cryopod_pod_checkpoint_captured_bytes_sum 5678"),
            HasSubstr("cryopod_pod_checkpoint_phase_duration_seconds_count{phase=\"dump\"} 1")));
}

TEST_F(RecordMetricsTest, EveryContainersDumpCountsByCriusOwnClock) {
  jobs::CheckpointResult result = GoodResult();
  result.dumps = {{1000, 30000, 20000, 10000}, {1000, 50000, 0, 0}};
  const std::string family = "cryopod_container_dump_phase_duration_seconds_";
  EXPECT_THAT(Record(result), AllOf(HasSubstr(family + "count{phase=\"frozen\"} 2"),
                                    HasSubstr(family + "sum{phase=\"frozen\"} 0.08"),
                                    HasSubstr(family + "sum{phase=\"memwrite\"} 0.01")));
}

TEST_F(RecordMetricsTest, AFailedCheckpointHasAReasonAndNoSize) {
  jobs::CheckpointResult result;
  result.status = Status(Code::kFailedPrecondition, "it uses io_uring", Reason::kIoUring);
  EXPECT_THAT(Record(result),
              AllOf(HasSubstr("cryopod_pod_checkpoint_size_bytes_count 0"),
                    HasSubstr("cryopod_pod_checkpoint_freeze_seconds_count 0"),
                    HasSubstr("{operation_type=\"checkpoint_pod\",reason=\"io_uring\"} 1")));
}

TEST_F(RecordMetricsTest, AnArchiveWhoseSourceCouldNotBeRemovedIsCountedAllTheSame) {
  jobs::CheckpointResult result = GoodResult();
  result.status = Status(Code::kInternal, "removing it failed");
  EXPECT_THAT(Record(result), HasSubstr("cryopod_pod_checkpoint_size_bytes_count 1"));
}

TEST_F(RecordMetricsTest, NoContainersNameBecomesALabel) {
  Outcome restored;
  restored.restore.phases = {{"create app-of-a-customer", 5}, {"restore app-of-a-customer", 6}};
  metrics_.BeginOperation(metrics::Operation::kRestore);

  RecordRestore(metrics_, restored, milliseconds(1));

  EXPECT_THAT(metrics_.Serialize(),
              AllOf(HasSubstr("phase=\"create\""), HasSubstr("phase=\"restore\""),
                    Not(HasSubstr("app-of-a-customer"))));
}

TEST_F(RecordMetricsTest, ARefusalIsAFailureThatNeverRan) {
  RecordRefusal(metrics_, metrics::Operation::kCheckpoint, Status(Code::kNotFound, "no such pod"));

  EXPECT_THAT(metrics_.Serialize(),
              AllOf(HasSubstr("cryopod_pod_checkpoint_operations_total{result=\"failure\"} 1"),
                    HasSubstr("cryopod_operations_running{operation_type=\"checkpoint_pod\"} 0"),
                    HasSubstr("{operation_type=\"checkpoint_pod\",reason=\"not_found\"} 1")));
}

}  // namespace
}  // namespace cryopod::daemon
