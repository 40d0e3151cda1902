#include "metrics/agent_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <mutex>
#include <set>
#include <string_view>

namespace cryopod::metrics {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

constexpr size_t kPhaseNameBytesMax = 32;
constexpr std::array<std::string_view, 2> kOperationTypes = {"checkpoint_pod", "restore_pod"};

// A whole operation: from a small pod to hundreds of GiB.
Buckets DurationBuckets() { return {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900}; }
// A freeze that an application can notice begins at milliseconds.
Buckets FreezeBuckets() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};
}
Buckets PhaseBuckets() { return {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300}; }
// 1 MiB to 1 TiB by factors of four.
Buckets SizeBuckets() {
  Buckets buckets;
  for (double size_bytes = 1 << 20; size_bytes <= double{1ull << 40}; size_bytes *= 4) {
    buckets.push_back(size_bytes);
  }
  return buckets;
}

double Seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

bool IsPhaseName(const std::string& phase) {
  return !phase.empty() && phase.size() <= kPhaseNameBytesMax &&
         phase.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos;
}

prometheus::Family<Counter>& CounterFamily(prometheus::Registry* registry, const char* name,
                                           const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry);
}

prometheus::Family<Gauge>& GaugeFamily(prometheus::Registry* registry, const char* name,
                                       const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry);
}

prometheus::Family<Histogram>& HistogramFamily(prometheus::Registry* registry, const char* name,
                                               const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(*registry);
}

// The series of one kind of operation. All but the phases exist from the start, so that a rate over
// the first failure is not lost.
struct OperationSeries {
  OperationSeries(prometheus::Family<Counter>& operations, prometheus::Family<Histogram>& durations,
                  prometheus::Family<Histogram>& phase_durations, Gauge& running_now)
      : success(operations.Add({{"result", "success"}})),
        failure(operations.Add({{"result", "failure"}})),
        duration(durations.Add({}, DurationBuckets())),
        phases(phase_durations),
        running(running_now) {}

  Histogram& Phase(const std::string& phase) {
    std::string label = "other";
    {
      const std::lock_guard lock(mutex);
      const bool known = phase_names.count(phase) > 0;
      if (known || (IsPhaseName(phase) && phase_names.size() < kPhaseNamesMax)) {
        phase_names.insert(phase);
        label = phase;
      }
    }
    return phases.Add({{"phase", label}}, PhaseBuckets());
  }

  Counter& success;
  Counter& failure;
  Histogram& duration;
  prometheus::Family<Histogram>& phases;
  Gauge& running;
  std::mutex mutex;
  std::set<std::string> phase_names;
};

}  // namespace

struct AgentMetrics::Families {
  OperationSeries& Of(Operation operation) {
    return operation == Operation::kCheckpoint ? checkpoint : restore;
  }

  prometheus::Registry registry;
  prometheus::Family<Gauge>& running =
      GaugeFamily(&registry, "cryopod_operations_running", "Operations that run now");
  prometheus::Family<Counter>& errors =
      CounterFamily(&registry, "cryopod_operations_errors_total",
                    "Failed operations by kind and gRPC status code");
  OperationSeries checkpoint{
      CounterFamily(&registry, "cryopod_pod_checkpoint_operations_total", "Ended pod checkpoints"),
      HistogramFamily(&registry, "cryopod_pod_checkpoint_duration_seconds",
                      "Duration of successful pod checkpoints, from request to commit"),
      HistogramFamily(&registry, "cryopod_pod_checkpoint_phase_duration_seconds",
                      "Duration of the phases of pod checkpoints"),
      running.Add({{"operation_type", std::string(kOperationTypes[0])}})};
  OperationSeries restore{
      CounterFamily(&registry, "cryopod_pod_restore_operations_total", "Ended pod restores"),
      HistogramFamily(&registry, "cryopod_pod_restore_duration_seconds",
                      "Duration of successful pod restores, from request to running"),
      HistogramFamily(&registry, "cryopod_pod_restore_phase_duration_seconds",
                      "Duration of the phases of pod restores"),
      running.Add({{"operation_type", std::string(kOperationTypes[1])}})};
  Histogram& freeze =
      HistogramFamily(&registry, "cryopod_pod_checkpoint_freeze_seconds",
                      "Time for which the containers of a pod were frozen by a checkpoint")
          .Add({}, FreezeBuckets());
  Histogram& archive_size = HistogramFamily(&registry, "cryopod_pod_checkpoint_size_bytes",
                                            "Size of committed checkpoint archives")
                                .Add({}, SizeBuckets());
  Gauge& archives =
      GaugeFamily(&registry, "cryopod_archives", "Checkpoint archives in this node's store")
          .Add({});
  Gauge& archives_bytes = GaugeFamily(&registry, "cryopod_archives_bytes",
                                      "Size of the checkpoint archives in this node's store")
                              .Add({});
};

AgentMetrics::AgentMetrics() : families_(std::make_unique<Families>()) {}
AgentMetrics::~AgentMetrics() = default;

void AgentMetrics::BeginOperation(Operation operation) {
  families_->Of(operation).running.Increment();
}

void AgentMetrics::EndOperation(Operation operation, const Status& outcome,
                                std::chrono::nanoseconds duration) {
  OperationSeries& series = families_->Of(operation);
  series.running.Decrement();
  if (outcome.ok()) {
    series.success.Increment();
    series.duration.Observe(Seconds(duration));
    return;
  }
  series.failure.Increment();
  const size_t type = operation == Operation::kCheckpoint ? 0 : 1;
  families_->errors
      .Add({{"operation_type", std::string(kOperationTypes[type])},
            {"code", std::string(CodeName(outcome.code()))}})
      .Increment();
}

void AgentMetrics::ObserveFreeze(std::chrono::nanoseconds duration) {
  families_->freeze.Observe(Seconds(duration));
}

void AgentMetrics::ObserveArchiveSize(uint64_t size_bytes) {
  families_->archive_size.Observe(static_cast<double>(size_bytes));
}

void AgentMetrics::ObservePhase(Operation operation, const std::string& phase,
                                std::chrono::nanoseconds duration) {
  families_->Of(operation).Phase(phase).Observe(Seconds(duration));
}

void AgentMetrics::SetArchives(uint64_t count, uint64_t size_bytes) {
  families_->archives.Set(static_cast<double>(count));
  families_->archives_bytes.Set(static_cast<double>(size_bytes));
}

std::string AgentMetrics::Serialize() const {
  return prometheus::TextSerializer().Serialize(families_->registry.Collect());
}

}  // namespace cryopod::metrics
