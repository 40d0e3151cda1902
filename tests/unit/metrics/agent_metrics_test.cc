#include "metrics/agent_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace cryopod::metrics {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

// The value of one series, or "" when there is none.
std::string Value(const AgentMetrics& metrics, const std::string& series) {
  std::istringstream text(metrics.Serialize());
  for (std::string line; std::getline(text, line);) {
    if (line.compare(0, series.size() + 1, series + " ") == 0)
      return line.substr(series.size() + 1);
  }
  return "";
}

size_t CountLines(const std::string& text, const std::string& part) {
  std::istringstream lines(text);
  size_t count = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find(part) != std::string::npos) ++count;
  }
  return count;
}

TEST(AgentMetricsTest, EverySeriesOfAnOutcomeExistsBeforeTheFirstOperation) {
  const AgentMetrics metrics;

  EXPECT_EQ(Value(metrics, R"(cryopod_pod_checkpoint_operations_total{result="success"})"), "0");
  EXPECT_EQ(Value(metrics, R"(cryopod_pod_checkpoint_operations_total{result="failure"})"), "0");
  EXPECT_EQ(Value(metrics, R"(cryopod_pod_restore_operations_total{result="success"})"), "0");
  EXPECT_EQ(Value(metrics, R"(cryopod_pod_restore_operations_total{result="failure"})"), "0");
  EXPECT_EQ(Value(metrics, R"(cryopod_operations_running{operation_type="restore_pod"})"), "0");
}

TEST(AgentMetricsTest, ASuccessfulCheckpointIsCountedAndTimed) {
  AgentMetrics metrics;

  metrics.BeginOperation(Operation::kCheckpoint);
  metrics.EndOperation(Operation::kCheckpoint, Status(), milliseconds(300));

  EXPECT_EQ(Value(metrics, R"(cryopod_pod_checkpoint_operations_total{result="success"})"), "1");
  EXPECT_EQ(Value(metrics, R"(cryopod_pod_restore_operations_total{result="success"})"), "0");
  EXPECT_EQ(Value(metrics, "cryopod_pod_checkpoint_duration_seconds_count"), "1");
  EXPECT_EQ(Value(metrics, R"(cryopod_pod_checkpoint_duration_seconds_bucket{le="0.25"})"), "0");
  EXPECT_EQ(Value(metrics, R"(cryopod_pod_checkpoint_duration_seconds_bucket{le="0.5"})"), "1");
}

TEST(AgentMetricsTest, AFailedRestoreIsCountedByItsCodeAndNotTimed) {
  AgentMetrics metrics;

  metrics.BeginOperation(Operation::kRestore);
  metrics.EndOperation(Operation::kRestore, Status(Code::kDataLoss, "blob 4f is damaged"),
                       seconds(1));

  EXPECT_EQ(Value(metrics, R"(cryopod_pod_restore_operations_total{result="failure"})"), "1");
  EXPECT_EQ(Value(metrics, "cryopod_pod_restore_duration_seconds_count"), "0");
  const std::string text = metrics.Serialize();
  EXPECT_THAT(text, HasSubstr(R"(code="DATA_LOSS")"));
  EXPECT_THAT(text, Not(HasSubstr("4f")));
}

TEST(AgentMetricsTest, TheOperationsThatRunAreThoseThatBeganAndDidNotEnd) {
  AgentMetrics metrics;

  metrics.BeginOperation(Operation::kCheckpoint);
  metrics.BeginOperation(Operation::kCheckpoint);
  metrics.EndOperation(Operation::kCheckpoint, Status(), seconds(1));

  EXPECT_EQ(Value(metrics, R"(cryopod_operations_running{operation_type="checkpoint_pod"})"), "1");
  EXPECT_EQ(Value(metrics, R"(cryopod_operations_running{operation_type="restore_pod"})"), "0");
}

TEST(AgentMetricsTest, FreezeAndSizeAreHistogramsInBaseUnits) {
  AgentMetrics metrics;

  metrics.ObserveFreeze(milliseconds(8));
  metrics.ObserveArchiveSize(uint64_t{3} << 20);

  EXPECT_EQ(Value(metrics, "cryopod_pod_checkpoint_freeze_seconds_sum"), "0.008");
  EXPECT_EQ(Value(metrics, R"(cryopod_pod_checkpoint_freeze_seconds_bucket{le="0.005"})"), "0");
  EXPECT_EQ(Value(metrics, R"(cryopod_pod_checkpoint_freeze_seconds_bucket{le="0.01"})"), "1");
  EXPECT_EQ(Value(metrics, R"(cryopod_pod_checkpoint_size_bytes_bucket{le="1048576"})"), "0");
  EXPECT_EQ(Value(metrics, R"(cryopod_pod_checkpoint_size_bytes_bucket{le="4194304"})"), "1");
}

TEST(AgentMetricsTest, PhasesAreTimedByName) {
  AgentMetrics metrics;

  metrics.ObservePhase(Operation::kCheckpoint, "dump", milliseconds(20));
  metrics.ObservePhase(Operation::kCheckpoint, "dump", milliseconds(40));
  metrics.ObservePhase(Operation::kRestore, "stage", milliseconds(5));

  EXPECT_EQ(Value(metrics, R"(cryopod_pod_checkpoint_phase_duration_seconds_count{phase="dump"})"),
            "2");
  EXPECT_EQ(Value(metrics, R"(cryopod_pod_restore_phase_duration_seconds_count{phase="stage"})"),
            "1");
}

TEST(AgentMetricsTest, PhaseNamesWithoutEndStayBounded) {
  AgentMetrics metrics;

  for (int i = 0; i < 1000; ++i) {
    metrics.ObservePhase(Operation::kCheckpoint, "phase_" + std::to_string(i), milliseconds(1));
  }

  const std::string text = metrics.Serialize();
  EXPECT_EQ(CountLines(text, "cryopod_pod_checkpoint_phase_duration_seconds_count"),
            kPhaseNamesMax + 1);
  EXPECT_EQ(Value(metrics, R"(cryopod_pod_checkpoint_phase_duration_seconds_count{phase="other"})"),
            std::to_string(1000 - kPhaseNamesMax));
}

TEST(AgentMetricsTest, APhaseThatIsNoNameIsNeverALabel) {
  AgentMetrics metrics;

  for (const char* phase :
       {"", "shop/web", "UPPER", "a\"b\n", "a_name_of_more_than_32_bytes_xxxxx"}) {
    metrics.ObservePhase(Operation::kRestore, phase, milliseconds(1));
  }

  EXPECT_EQ(Value(metrics, R"(cryopod_pod_restore_phase_duration_seconds_count{phase="other"})"),
            "5");
  EXPECT_EQ(CountLines(metrics.Serialize(), "cryopod_pod_restore_phase_duration_seconds_count"),
            1u);
}

TEST(AgentMetricsTest, TheStoresContentIsWhatWasSetLast) {
  AgentMetrics metrics;

  metrics.SetArchives(7, 100);
  metrics.SetArchives(2, 4096);

  EXPECT_EQ(Value(metrics, "cryopod_archives"), "2");
  EXPECT_EQ(Value(metrics, "cryopod_archives_bytes"), "4096");
}

TEST(AgentMetricsTest, EveryFamilyTellsItsHelpAndType) {
  const std::string text = AgentMetrics().Serialize();

  EXPECT_THAT(text, HasSubstr("# HELP cryopod_pod_checkpoint_freeze_seconds "));
  EXPECT_THAT(text, HasSubstr("# TYPE cryopod_pod_checkpoint_freeze_seconds histogram"));
  EXPECT_THAT(text, HasSubstr("# TYPE cryopod_pod_checkpoint_operations_total counter"));
  EXPECT_THAT(text, HasSubstr("# TYPE cryopod_archives gauge"));
}

TEST(AgentMetricsTest, ThreadsCountWithoutLoss) {
  AgentMetrics metrics;
  std::vector<std::thread> threads;

  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&metrics] {
      for (int n = 0; n < 500; ++n) {
        metrics.BeginOperation(Operation::kCheckpoint);
        metrics.ObservePhase(Operation::kCheckpoint, "p" + std::to_string(n % 50), seconds(1));
        metrics.EndOperation(Operation::kCheckpoint, Status(), seconds(1));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(Value(metrics, R"(cryopod_pod_checkpoint_operations_total{result="success"})"), "2000");
  EXPECT_EQ(Value(metrics, R"(cryopod_operations_running{operation_type="checkpoint_pod"})"), "0");
}

}  // namespace
}  // namespace cryopod::metrics
