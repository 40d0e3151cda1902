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

class AgentMetricsTest : public testing::Test {
 protected:
  void RunOperation(Operation operation, const Status& outcome,
                    std::chrono::nanoseconds duration = seconds(1)) {
    metrics_.BeginOperation(operation);
    metrics_.EndOperation(operation, outcome, duration);
  }
  // The value of one series, or "" when there is none.
  std::string Value(const std::string& series) const {
    std::istringstream text(metrics_.Serialize());
    for (std::string line; std::getline(text, line);) {
      if (line.starts_with(series + " ")) return line.substr(series.size() + 1);
    }
    return "";
  }
  size_t CountLines(const std::string& part) const {
    std::istringstream lines(metrics_.Serialize());
    size_t count = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line.find(part) != std::string::npos) ++count;
    }
    return count;
  }

  AgentMetrics metrics_;
};

TEST_F(AgentMetricsTest, WhatHasNotHappenedYetIsZeroAndNotAbsent) {
  for (const char* series :
       {R"(cryopod_pod_checkpoint_operations_total{result="success"})",
        R"(cryopod_pod_checkpoint_operations_total{result="failure"})",
        R"(cryopod_pod_restore_operations_total{result="success"})",
        R"(cryopod_pod_restore_operations_total{result="failure"})",
        R"(cryopod_operations_running{operation_type="restore_pod"})",
        R"(cryopod_container_dump_phase_duration_seconds_count{phase="freezing"})",
        R"(cryopod_container_dump_phase_duration_seconds_count{phase="frozen"})",
        R"(cryopod_container_dump_phase_duration_seconds_count{phase="memdump"})",
        R"(cryopod_container_dump_phase_duration_seconds_count{phase="memwrite"})",
        R"(cryopod_last_success_timestamp_seconds{operation_type="checkpoint_pod"})"}) {
    EXPECT_EQ(Value(series), "0") << series;
  }
}

TEST_F(AgentMetricsTest, ASuccessfulCheckpointIsCountedAndTimed) {
  RunOperation(Operation::kCheckpoint, Status(), milliseconds(300));

  EXPECT_EQ(Value(R"(cryopod_pod_checkpoint_operations_total{result="success"})"), "1");
  EXPECT_EQ(Value(R"(cryopod_pod_restore_operations_total{result="success"})"), "0");
  EXPECT_EQ(Value("cryopod_pod_checkpoint_duration_seconds_count"), "1");
  EXPECT_EQ(Value(R"(cryopod_pod_checkpoint_duration_seconds_bucket{le="0.25"})"), "0");
  EXPECT_EQ(Value(R"(cryopod_pod_checkpoint_duration_seconds_bucket{le="0.5"})"), "1");
}

TEST_F(AgentMetricsTest, AFailedRestoreIsCountedByItsReasonAndNotTimed) {
  RunOperation(Operation::kRestore, Status(Code::kDataLoss, "blob 4f is damaged"));

  EXPECT_EQ(Value(R"(cryopod_pod_restore_operations_total{result="failure"})"), "1");
  EXPECT_EQ(Value("cryopod_pod_restore_duration_seconds_count"), "0");
  EXPECT_EQ(Value("cryopod_runtime_operations_errors_total"
                  R"({operation_type="restore_pod",reason="archive_damaged"})"),
            "1");
  EXPECT_THAT(metrics_.Serialize(), Not(HasSubstr("4f")));
}

TEST_F(AgentMetricsTest, AColdStartIsCountedByItsReasonAndIsNoOperation) {
  metrics_.CountColdStart(Reason::kAlreadyRestored);
  metrics_.CountColdStart(Reason::kAlreadyRestored);

  EXPECT_EQ(Value(R"(cryopod_pod_cold_starts_total{reason="already_restored"})"), "2");
  EXPECT_EQ(Value(R"(cryopod_pod_restore_operations_total{result="failure"})"), "0");
}

TEST_F(AgentMetricsTest, TheOperationsThatRunAreThoseThatBeganAndDidNotEnd) {
  metrics_.BeginOperation(Operation::kCheckpoint);
  RunOperation(Operation::kCheckpoint, Status());

  EXPECT_EQ(Value(R"(cryopod_operations_running{operation_type="checkpoint_pod"})"), "1");
  EXPECT_EQ(Value(R"(cryopod_operations_running{operation_type="restore_pod"})"), "0");
}

TEST_F(AgentMetricsTest, FreezeAndSizesAreHistogramsInBaseUnits) {
  metrics_.ObserveFreeze(milliseconds(8));
  metrics_.ObserveArchive(uint64_t{9} << 20, uint64_t{3} << 20);

  EXPECT_EQ(Value("cryopod_pod_checkpoint_freeze_seconds_sum"), "0.008");
  EXPECT_EQ(Value(R"(cryopod_pod_checkpoint_freeze_seconds_bucket{le="0.005"})"), "0");
  EXPECT_EQ(Value(R"(cryopod_pod_checkpoint_freeze_seconds_bucket{le="0.01"})"), "1");
  EXPECT_EQ(Value("cryopod_pod_checkpoint_captured_bytes_sum"), "9437184");
  EXPECT_EQ(Value(R"(cryopod_pod_checkpoint_size_bytes_bucket{le="1048576"})"), "0");
  EXPECT_EQ(Value(R"(cryopod_pod_checkpoint_size_bytes_bucket{le="4194304"})"), "1");
}

TEST_F(AgentMetricsTest, PhasesAreTimedByName) {
  metrics_.ObservePhase(Operation::kCheckpoint, "dump", milliseconds(20));
  metrics_.ObservePhase(Operation::kCheckpoint, "dump", milliseconds(40));
  metrics_.ObservePhase(Operation::kRestore, "stage", milliseconds(5));
  metrics_.ObserveDumpPhase(DumpPhase::kMemdump, milliseconds(3));

  EXPECT_EQ(Value(R"(cryopod_pod_checkpoint_phase_duration_seconds_count{phase="dump"})"), "2");
  EXPECT_EQ(Value(R"(cryopod_pod_restore_phase_duration_seconds_count{phase="stage"})"), "1");
  EXPECT_EQ(Value(R"(cryopod_container_dump_phase_duration_seconds_count{phase="memdump"})"), "1");
}

TEST_F(AgentMetricsTest, PhaseNamesWithoutEndStayBounded) {
  for (int i = 0; i < 1000; ++i) {
    metrics_.ObservePhase(Operation::kCheckpoint, "phase_" + std::to_string(i), milliseconds(1));
  }

  EXPECT_EQ(CountLines("cryopod_pod_checkpoint_phase_duration_seconds_count"), kPhaseNamesMax + 1);
  EXPECT_EQ(Value(R"(cryopod_pod_checkpoint_phase_duration_seconds_count{phase="other"})"),
            std::to_string(1000 - kPhaseNamesMax));
}

TEST_F(AgentMetricsTest, APhaseThatIsNoNameIsNeverALabel) {
  for (const char* phase :
       {"", "shop/web", "UPPER", "a\"b\n", "a_name_of_more_than_32_bytes_xxxxx"}) {
    metrics_.ObservePhase(Operation::kRestore, phase, milliseconds(1));
  }

  EXPECT_EQ(Value(R"(cryopod_pod_restore_phase_duration_seconds_count{phase="other"})"), "5");
  EXPECT_EQ(CountLines("cryopod_pod_restore_phase_duration_seconds_count"), 1u);
}

TEST_F(AgentMetricsTest, TheLastSuccessMovesAndAFailureDoesNotMoveIt) {
  const std::string series =
      R"(cryopod_last_success_timestamp_seconds{operation_type="checkpoint_pod"})";

  RunOperation(Operation::kCheckpoint, Status(Code::kUnknown, "x"));
  EXPECT_EQ(Value(series), "0");
  const double before = static_cast<double>(::time(nullptr));
  RunOperation(Operation::kCheckpoint, Status());

  EXPECT_GE(std::stod(Value(series)), before);
}

TEST_F(AgentMetricsTest, EveryReasonThereIsYieldsAsManySeriesAndNoMore) {
  for (int i = 0; i < 3 * kReasonCount; ++i) {
    RunOperation(Operation::kCheckpoint,
                 Status(Code::kUnknown, "x" + std::to_string(i), static_cast<Reason>(i)));
  }

  EXPECT_LE(CountLines("cryopod_runtime_operations_errors_total{"),
            static_cast<size_t>(kReasonCount));
}

TEST_F(AgentMetricsTest, TheStoresContentIsWhatWasSetLast) {
  metrics_.SetStore({{{"old", 7, 100}, {"shop", 1, 1}}, 1, 10, 20});
  metrics_.SetStore({{{"shop", 2, 4096}}, 0, 11, 20});

  EXPECT_EQ(Value(R"(cryopod_archives{namespace="shop"})"), "2");
  EXPECT_EQ(Value(R"(cryopod_archives_bytes{namespace="shop"})"), "4096");
  EXPECT_EQ(CountLines("cryopod_archives{"), 1u) << "it holds none of the others now";
  EXPECT_EQ(Value("cryopod_archives_damaged"), "0");
  EXPECT_EQ(Value("cryopod_store_free_bytes"), "11");
  EXPECT_EQ(Value("cryopod_store_size_bytes"), "20");
}

TEST_F(AgentMetricsTest, NamespacesBeyondTheLargestAreOneTogether) {
  StoreUsage usage;
  for (size_t i = 0; i < kNamespacesMax + 10; ++i) {
    usage.namespaces.push_back({"n" + std::to_string(i), 1, i});
  }

  metrics_.SetStore(usage);

  EXPECT_EQ(CountLines("cryopod_archives{"), kNamespacesMax + 1);
  EXPECT_EQ(Value(R"(cryopod_archives{namespace="n59"})"), "1") << "the largest";
  EXPECT_EQ(Value(R"(cryopod_archives{namespace="n0"})"), "") << "the smallest";
  EXPECT_EQ(Value(R"(cryopod_archives{namespace="_other"})"), "10");
  EXPECT_EQ(Value(R"(cryopod_archives_bytes{namespace="_other"})"), "45");
}

TEST_F(AgentMetricsTest, ThePodsThatStandStillAreWhatWasSetLast) {
  metrics_.SetFrozen(2, seconds(90));
  EXPECT_EQ(Value("cryopod_pods_frozen"), "2");
  EXPECT_EQ(Value("cryopod_pods_frozen_longest_seconds"), "90");

  metrics_.SetFrozen(0, seconds(0));
  EXPECT_EQ(Value("cryopod_pods_frozen"), "0");
}

TEST_F(AgentMetricsTest, AnUpgradeReplacesTheInfoOfTheVersionBefore) {
  NodeDescription node{"0.1.0", "4.1", "containerd", "2.1.9", "6.18.0", "x86_64", "v2", 1};
  metrics_.SetNode(node);
  node.criu_version = "4.2.1";
  node.problems = 0;

  metrics_.SetNode(node);

  EXPECT_EQ(Value(R"(cryopod_criu_info{version="4.2.1"})"), "1");
  EXPECT_EQ(CountLines("cryopod_criu_info{"), 1u);
  EXPECT_EQ(Value("cryopod_node_problems"), "0");
  EXPECT_EQ(Value(R"(cryopod_build_info{version="0.1.0"})"), "1");
  EXPECT_THAT(metrics_.Serialize(), HasSubstr(R"(cgroup="v2")"));
}

TEST_F(AgentMetricsTest, WhatAnotherProgramSaysOfItselfCannotBreakTheText) {
  metrics_.SetNode(
      {"0.1.0", "4\"} 1\n# TYPE x counter", std::string(10000, 'r'), "\xff", "", "", "", 0});

  const std::string text = metrics_.Serialize();
  EXPECT_THAT(text, Not(HasSubstr("\n# TYPE x counter")));
  EXPECT_THAT(text, Not(HasSubstr(std::string(kInfoBytesMax + 1, 'r'))));
  EXPECT_THAT(text, HasSubstr(R"(version="?")"));
}

TEST_F(AgentMetricsTest, ThreadsCountWithoutLoss) {
  std::vector<std::thread> threads;

  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this] {
      for (int n = 0; n < 500; ++n) {
        metrics_.ObservePhase(Operation::kCheckpoint, "p" + std::to_string(n % 50), seconds(1));
        RunOperation(Operation::kCheckpoint, Status());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(Value(R"(cryopod_pod_checkpoint_operations_total{result="success"})"), "2000");
  EXPECT_EQ(Value(R"(cryopod_operations_running{operation_type="checkpoint_pod"})"), "0");
}

}  // namespace
}  // namespace cryopod::metrics
