#include "metrics/agent_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <set>
#include <string_view>
#include <utility>

namespace cryopod::metrics {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

constexpr size_t kPhaseNameBytesMax = 32;
constexpr std::array<const char*, 4> kDumpPhases = {"freezing", "frozen", "memdump", "memwrite"};
// Kubernetes' namespaces are DNS labels, which hold no underscore.
constexpr char kOtherNamespaces[] = "_other";

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
  for (int power = 20; power <= 40; power += 2) buckets.push_back(std::ldexp(1, power));
  return buckets;
}

double Seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

bool IsPhaseName(const std::string& phase) {
  return !phase.empty() && phase.size() <= kPhaseNameBytesMax &&
         phase.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos;
}

// A family that is asked for again is the same.
struct Registry {
  prometheus::Family<Counter>& Counters(const std::string& name, const std::string& help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  prometheus::Family<Gauge>& Gauges(const std::string& name, const std::string& help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
  }
  prometheus::Family<Histogram>& Histograms(const std::string& name, const std::string& help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
  }
  // Of families without labels.
  Gauge& OneGauge(const std::string& name, const std::string& help) {
    return Gauges(name, help).Add({});
  }
  Histogram& OneHistogram(const std::string& name, const std::string& help,
                          const Buckets& buckets) {
    return Histograms(name, help).Add({}, buckets);
  }

  prometheus::Registry registry;
};

// Of other programs' words: short and without anything that a label would have to escape.
std::string Label(std::string text) {
  text.resize(std::min(text.size(), kInfoBytesMax));
  std::replace_if(
      text.begin(), text.end(),
      [](char byte) { return byte < ' ' || byte > '~' || byte == '"' || byte == '\\'; }, '?');
  return text;
}

// The series of one kind of operation. All but phases and reasons exist from the start, so that a
// rate over the first failure is not lost.
struct OperationSeries {
  // `type` is "checkpoint" or "restore".
  OperationSeries(Registry& registry, const std::string& type, const std::string& span)
      : operation_type(type + "_pod"),
        errors(registry.Counters("cryopod_runtime_operations_errors_total",
                                 "Failed and refused operations by kind and reason")),
        operations(registry.Counters("cryopod_pod_" + type + "_operations_total",
                                     "Ended pod " + type + "s")),
        success(operations.Add({{"result", "success"}})),
        failure(operations.Add({{"result", "failure"}})),
        duration(registry.OneHistogram("cryopod_pod_" + type + "_duration_seconds",
                                       "Duration of successful pod " + type + "s, " + span,
                                       DurationBuckets())),
        phases(registry.Histograms("cryopod_pod_" + type + "_phase_duration_seconds",
                                   "Duration of the phases of pod " + type + "s")),
        running(registry.Gauges("cryopod_operations_running", "Operations that run now")
                    .Add({{"operation_type", operation_type}})),
        last_success(
            registry
                .Gauges(
                    "cryopod_last_success_timestamp_seconds",
                    "When the last operation ended well; 0 when none has since the agent started")
                .Add({{"operation_type", operation_type}})) {}

  Histogram& Phase(const std::string& phase) {
    const std::lock_guard lock(mutex);
    if (IsPhaseName(phase) && phase_names.size() < kPhaseNamesMax) phase_names.insert(phase);
    const bool known = phase_names.contains(phase);
    return phases.Add({{"phase", known ? phase : "other"}}, PhaseBuckets());
  }
  const std::string operation_type;
  prometheus::Family<Counter>& errors;
  prometheus::Family<Counter>& operations;
  Counter& success;
  Counter& failure;
  Histogram& duration;
  prometheus::Family<Histogram>& phases;
  Gauge& running;
  Gauge& last_success;
  std::mutex mutex;  // guards phase_names
  std::set<std::string> phase_names;
};

// The series of a gauge whose labels come and go.
class ChangingGauge {
 public:
  explicit ChangingGauge(prometheus::Family<Gauge>& family) : family_(family) {}

  void Clear() {
    for (Gauge* const series : std::exchange(series_, {})) family_.Remove(series);
  }
  void SetOnly(const prometheus::Labels& labels) {
    Clear();
    Set(labels, 1);
  }
  void Set(const prometheus::Labels& labels, double value) {
    Gauge& series = family_.Add(labels);
    series.Set(value);
    series_.insert(&series);
  }

 private:
  prometheus::Family<Gauge>& family_;
  std::set<Gauge*> series_;
};

// The largest by name, the rest in one.
std::vector<NamespaceUsage> Bounded(std::vector<NamespaceUsage> usages) {
  std::sort(usages.begin(), usages.end(), [](const NamespaceUsage& a, const NamespaceUsage& b) {
    return std::pair(b.size_bytes, a.name) < std::pair(a.size_bytes, b.name);
  });
  NamespaceUsage other{kOtherNamespaces, 0, 0};
  while (usages.size() > kNamespacesMax) {
    other.archives += usages.back().archives;
    other.size_bytes += usages.back().size_bytes;
    usages.pop_back();
  }
  if (other.archives > 0) usages.push_back(std::move(other));
  return usages;
}

}  // namespace

struct AgentMetrics::Families {
  OperationSeries& Of(Operation operation) {
    return operation == Operation::kCheckpoint ? checkpoint : restore;
  }

  // Guards what is replaced as a whole; a text never shows half of it.
  std::mutex mutex;
  Registry all;
  OperationSeries checkpoint{all, "checkpoint", "from request to commit"};
  OperationSeries restore{all, "restore", "from request to running"};
  prometheus::Family<Histogram>& dump_phases =
      all.Histograms("cryopod_container_dump_phase_duration_seconds",
                     "Duration of what CRIU does for one container, by its own clock");
  prometheus::Family<Counter>& cold_starts =
      all.Counters("cryopod_pod_cold_starts_total",
                   "Pods that started cold, as they allow, in place of a restore, by reason");
  Histogram& freeze = all.OneHistogram(
      "cryopod_pod_checkpoint_freeze_seconds",
      "Time for which the containers of a pod were frozen by a checkpoint, in all of its tries",
      FreezeBuckets());
  Histogram& captured =
      all.OneHistogram("cryopod_pod_checkpoint_captured_bytes",
                       "Size of what checkpoints hold, before compression", SizeBuckets());
  Histogram& archive_size = all.OneHistogram(
      "cryopod_pod_checkpoint_size_bytes", "Size of committed checkpoint archives", SizeBuckets());
  Gauge& frozen = all.OneGauge("cryopod_pods_frozen", "Pods that a checkpoint holds frozen now");
  Gauge& frozen_longest = all.OneGauge("cryopod_pods_frozen_longest_seconds",
                                       "For how long the first of the frozen pods stands still");
  Gauge& foreign_jobs = all.OneGauge("cryopod_jobs_not_understood",
                                     "Jobs of another version, which this agent leaves alone");
  ChangingGauge archives{
      all.Gauges("cryopod_archives", "Checkpoint archives in this node's store by namespace")};
  ChangingGauge archives_bytes{
      all.Gauges("cryopod_archives_bytes",
                 "Size of the checkpoint archives in this node's store by namespace")};
  Gauge& damaged = all.OneGauge("cryopod_archives_damaged", "Archives that cannot be read");
  Gauge& store_free = all.OneGauge("cryopod_store_free_bytes",
                                   "Free space of the file system that holds the archives");
  Gauge& store_size =
      all.OneGauge("cryopod_store_size_bytes", "Size of the file system that holds the archives");
  Gauge& problems =
      all.OneGauge("cryopod_node_problems", "Reasons why this node cannot checkpoint or restore");
  ChangingGauge build_info{all.Gauges("cryopod_build_info", "The agent that runs; always 1")};
  ChangingGauge node_info{all.Gauges("cryopod_node_info", "The node; always 1")};
  ChangingGauge criu_info{
      all.Gauges("cryopod_criu_info", "The CRIU that dumps are made with; always 1")};
  ChangingGauge runtime_info{all.Gauges("cryopod_runtime_info", "The container runtime; always 1")};
};

AgentMetrics::AgentMetrics() : families_(std::make_unique<Families>()) {
  for (const char* const phase : kDumpPhases) {
    families_->dump_phases.Add({{"phase", phase}}, PhaseBuckets());
  }
}
AgentMetrics::~AgentMetrics() = default;

void AgentMetrics::BeginOperation(Operation operation) {
  families_->Of(operation).running.Increment();
}

void AgentMetrics::EndOperation(Operation operation, const Status& outcome,
                                std::chrono::nanoseconds duration) {
  OperationSeries& series = families_->Of(operation);
  series.running.Decrement();
  // The total last: whoever sees it sees the rest.
  if (outcome.ok()) {
    series.duration.Observe(Seconds(duration));
    series.last_success.SetToCurrentTime();
    series.success.Increment();
    return;
  }
  series.errors
      .Add({{"operation_type", series.operation_type},
            {"reason", std::string(ReasonName(outcome.reason()))}})
      .Increment();
  series.failure.Increment();
}

void AgentMetrics::CountColdStart(Reason reason) {
  families_->cold_starts.Add({{"reason", std::string(ReasonName(reason))}}).Increment();
}

void AgentMetrics::ObserveFreeze(std::chrono::nanoseconds duration) {
  families_->freeze.Observe(Seconds(duration));
}

void AgentMetrics::ObserveArchive(uint64_t captured_bytes, uint64_t size_bytes) {
  families_->captured.Observe(static_cast<double>(captured_bytes));
  families_->archive_size.Observe(static_cast<double>(size_bytes));
}

void AgentMetrics::ObservePhase(Operation operation, const std::string& phase,
                                std::chrono::nanoseconds duration) {
  families_->Of(operation).Phase(phase).Observe(Seconds(duration));
}

void AgentMetrics::ObserveDumpPhase(DumpPhase phase, std::chrono::nanoseconds duration) {
  families_->dump_phases.Add({{"phase", kDumpPhases[static_cast<size_t>(phase)]}}, PhaseBuckets())
      .Observe(Seconds(duration));
}

void AgentMetrics::SetStore(const StoreUsage& usage) {
  const std::lock_guard lock(families_->mutex);
  families_->archives.Clear();
  families_->archives_bytes.Clear();
  for (const NamespaceUsage& one : Bounded(usage.namespaces)) {
    families_->archives.Set({{"namespace", one.name}}, static_cast<double>(one.archives));
    families_->archives_bytes.Set({{"namespace", one.name}}, static_cast<double>(one.size_bytes));
  }
  families_->damaged.Set(static_cast<double>(usage.damaged));
  families_->store_free.Set(static_cast<double>(usage.free_bytes));
  families_->store_size.Set(static_cast<double>(usage.file_system_bytes));
}

void AgentMetrics::SetFrozen(uint64_t pods, std::chrono::nanoseconds longest) {
  const std::lock_guard lock(families_->mutex);
  families_->frozen.Set(static_cast<double>(pods));
  families_->frozen_longest.Set(Seconds(longest));
}

void AgentMetrics::SetForeignJobs(uint64_t jobs) {
  const std::lock_guard lock(families_->mutex);
  families_->foreign_jobs.Set(static_cast<double>(jobs));
}

void AgentMetrics::SetNode(const NodeDescription& node) {
  const std::lock_guard lock(families_->mutex);
  families_->build_info.SetOnly({{"version", Label(node.agent_version)}});
  families_->node_info.SetOnly({{"kernel", Label(node.kernel)},
                                {"architecture", Label(node.architecture)},
                                {"cgroup", Label(node.cgroup_version)}});
  families_->criu_info.SetOnly({{"version", Label(node.criu_version)}});
  families_->runtime_info.SetOnly(
      {{"name", Label(node.runtime_name)}, {"version", Label(node.runtime_version)}});
  families_->problems.Set(static_cast<double>(node.problems));
}

std::string AgentMetrics::Serialize() const {
  const std::lock_guard lock(families_->mutex);
  return prometheus::TextSerializer().Serialize(families_->all.registry.Collect());
}

}  // namespace cryopod::metrics
