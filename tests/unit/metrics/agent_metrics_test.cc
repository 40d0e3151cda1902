#include "metrics/agent_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
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

TEST(AgentMetricsTest, AFailedRestoreIsCountedByItsReasonAndNotTimed) {
  AgentMetrics metrics;

  metrics.BeginOperation(Operation::kRestore);
  metrics.EndOperation(Operation::kRestore, Status(Code::kDataLoss, "blob 4f is damaged"),
                       seconds(1));

  EXPECT_EQ(Value(metrics, R"(cryopod_pod_restore_operations_total{result="failure"})"), "1");
  EXPECT_EQ(Value(metrics, "cryopod_pod_restore_duration_seconds_count"), "0");
  const std::string text = metrics.Serialize();
  EXPECT_EQ(Value(metrics,
                  "cryopod_runtime_operations_errors_total"
                  R"({operation_type="restore_pod",reason="archive_damaged"})"),
            "1");
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
  metrics.ObserveArchive(uint64_t{9} << 20, uint64_t{3} << 20);

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

TEST(AgentMetricsTest, WhatIsBeforeCompressionIsAHistogramOfItsOwn) {
  AgentMetrics metrics;

  metrics.ObserveArchive(9000, 3000);

  EXPECT_EQ(Value(metrics, "cryopod_pod_checkpoint_captured_bytes_sum"), "9000");
  EXPECT_EQ(Value(metrics, "cryopod_pod_checkpoint_size_bytes_sum"), "3000");
}

TEST(AgentMetricsTest, TheLastSuccessMovesAndAFailureDoesNotMoveIt) {
  const std::string series =
      R"(cryopod_last_success_timestamp_seconds{operation_type="checkpoint_pod"})";
  AgentMetrics metrics;
  EXPECT_EQ(Value(metrics, series), "0") << "none yet";

  metrics.BeginOperation(Operation::kCheckpoint);
  metrics.EndOperation(Operation::kCheckpoint, Status(Code::kUnknown, "x"), seconds(1));
  EXPECT_EQ(Value(metrics, series), "0");
  const double before = static_cast<double>(::time(nullptr));
  metrics.BeginOperation(Operation::kCheckpoint);
  metrics.EndOperation(Operation::kCheckpoint, Status(), seconds(1));

  EXPECT_GE(std::stod(Value(metrics, series)), before);
}

TEST(AgentMetricsTest, CriusPhasesExistFromTheStart) {
  AgentMetrics metrics;
  const std::string count = "cryopod_container_dump_phase_duration_seconds_count";
  for (const char* phase : {"freezing", "frozen", "memdump", "memwrite"}) {
    EXPECT_EQ(Value(metrics, count + "{phase=\"" + phase + "\"}"), "0");
  }

  metrics.ObserveDumpPhase(DumpPhase::kMemdump, milliseconds(3));

  EXPECT_EQ(Value(metrics, count + R"({phase="memdump"})"), "1");
}

TEST(AgentMetricsTest, EveryReasonThereIsYieldsAsManySeriesAndNoMore) {
  AgentMetrics metrics;

  for (int i = 0; i < 3 * kReasonCount; ++i) {
    metrics.BeginOperation(Operation::kCheckpoint);
    metrics.EndOperation(Operation::kCheckpoint,
                         Status(Code::kUnknown, "x" + std::to_string(i), static_cast<Reason>(i)),
                         seconds(1));
  }

  EXPECT_LE(CountLines(metrics.Serialize(), "cryopod_runtime_operations_errors_total{"),
            static_cast<size_t>(kReasonCount));
}

TEST(AgentMetricsTest, TheStoresContentIsWhatWasSetLast) {
  AgentMetrics metrics;

  metrics.SetStore({{{"old", 7, 100}, {"shop", 1, 1}}, 1, 10, 20});
  metrics.SetStore({{{"shop", 2, 4096}}, 0, 11, 20});

  EXPECT_EQ(Value(metrics, R"(cryopod_archives{namespace="shop"})"), "2");
  EXPECT_EQ(Value(metrics, R"(cryopod_archives_bytes{namespace="shop"})"), "4096");
  EXPECT_EQ(Value(metrics, R"(cryopod_archives{namespace="old"})"), "") << "it holds none now";
  EXPECT_EQ(Value(metrics, "cryopod_archives_damaged"), "0");
  EXPECT_EQ(Value(metrics, "cryopod_store_free_bytes"), "11");
  EXPECT_EQ(Value(metrics, "cryopod_store_size_bytes"), "20");
}

TEST(AgentMetricsTest, NamespacesBeyondTheLargestAreOneTogether) {
  AgentMetrics metrics;
  StoreUsage usage;
  for (size_t i = 0; i < kNamespacesMax + 10; ++i) {
    usage.namespaces.push_back({"n" + std::to_string(i), 1, i});
  }

  metrics.SetStore(usage);

  EXPECT_EQ(CountLines(metrics.Serialize(), "cryopod_archives{"), kNamespacesMax + 1);
  EXPECT_EQ(Value(metrics, R"(cryopod_archives{namespace="n59"})"), "1") << "the largest";
  EXPECT_EQ(Value(metrics, R"(cryopod_archives{namespace="n0"})"), "") << "the smallest";
  EXPECT_EQ(Value(metrics, R"(cryopod_archives{namespace="_other"})"), "10");
  EXPECT_EQ(Value(metrics, R"(cryopod_archives_bytes{namespace="_other"})"), "45");
}

TEST(AgentMetricsTest, ManyStoresLeaveNoMoreSeriesThanTheLast) {
  AgentMetrics metrics;
  for (int i = 0; i < 200; ++i) metrics.SetStore({{{"n" + std::to_string(i), 1, 1}}, 0, 1, 1});

  EXPECT_EQ(CountLines(metrics.Serialize(), "cryopod_archives{"), 1u);
}

TEST(AgentMetricsTest, ThePodsThatStandStillAreWhatWasSetLast) {
  AgentMetrics metrics;
  metrics.SetFrozen(2, seconds(90));
  EXPECT_EQ(Value(metrics, "cryopod_pods_frozen"), "2");
  EXPECT_EQ(Value(metrics, "cryopod_pods_frozen_longest_seconds"), "90");

  metrics.SetFrozen(0, seconds(0));

  EXPECT_EQ(Value(metrics, "cryopod_pods_frozen"), "0");
}

TEST(AgentMetricsTest, AnUpgradeReplacesTheInfoOfTheVersionBefore) {
  AgentMetrics metrics;
  NodeDescription node{"0.1.0", "4.1", "containerd", "2.1.9", "6.18.0", "x86_64", "v2", 1};
  metrics.SetNode(node);
  node.criu_version = "4.2.1";
  node.problems = 0;

  metrics.SetNode(node);

  EXPECT_EQ(Value(metrics, R"(cryopod_criu_info{version="4.2.1"})"), "1");
  EXPECT_EQ(CountLines(metrics.Serialize(), "cryopod_criu_info{"), 1u);
  EXPECT_EQ(Value(metrics, "cryopod_node_problems"), "0");
  EXPECT_EQ(Value(metrics, R"(cryopod_build_info{version="0.1.0"})"), "1");
  EXPECT_THAT(metrics.Serialize(), HasSubstr(R"(cgroup="v2")"));
}

TEST(AgentMetricsTest, WhatAnotherProgramSaysOfItselfCannotBreakTheText) {
  AgentMetrics metrics;

  metrics.SetNode(
      {"0.1.0", "4\"} 1\n# TYPE x counter", std::string(10000, 'r'), "\xff", "", "", "", 0});

  const std::string text = metrics.Serialize();
  EXPECT_THAT(text, Not(HasSubstr("\n# TYPE x counter")));
  EXPECT_THAT(text, Not(HasSubstr(std::string(kInfoBytesMax + 1, 'r'))));
  EXPECT_THAT(text, HasSubstr(R"(version="?")"));
}

TEST(AgentMetricsTest, EveryFamilyTellsItsHelpAndType) {
  const std::string text = AgentMetrics().Serialize();

  EXPECT_THAT(text, HasSubstr("# HELP cryopod_pod_checkpoint_freeze_seconds "));
  EXPECT_THAT(text, HasSubstr("# TYPE cryopod_pod_checkpoint_freeze_seconds histogram"));
  EXPECT_THAT(text, HasSubstr("# TYPE cryopod_pod_checkpoint_operations_total counter"));
  EXPECT_THAT(text, HasSubstr("# TYPE cryopod_pods_frozen gauge"));
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
