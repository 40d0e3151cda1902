#include "agent/daemon/observe/node_metrics.h"

#include <chrono>
#include <utility>

#include "agent/daemon/observe/frozen_pods.h"
#include "agent/daemon/observe/node_info.h"
#include "agent/os/log.h"

namespace cryopod::daemon {
namespace {

// Asking takes a CRIU of its own.
constexpr std::chrono::minutes kDescriptionAge{5};
// So that the first scrape knows the node already, where nothing hangs.
constexpr std::chrono::milliseconds kFirstPatience{2000};

}  // namespace

NodeMetrics::NodeMetrics(const settings::AgentSettings& config, cri::RuntimeClient& runtime,
                         const OperationRegister& operations, metrics::AgentMetrics& metrics)
    : config_(config),
      runtime_(runtime),
      operations_(operations),
      metrics_(metrics),
      census_(config.store_root()) {}

metrics::NodeDescription NodeMetrics::AskNode() const {
  api::NodeInfo info = ReadNodeInfo(config_, runtime_);
  metrics::NodeDescription node;
  node.agent_version = std::move(info.agent_version);
  node.criu_version = std::move(info.criu_version);
  node.runtime_name = std::move(info.runtime_name);
  node.runtime_version = std::move(info.runtime_version);
  node.kernel = std::move(info.kernel);
  node.architecture = std::move(info.architecture);
  node.cgroup_version = std::move(info.cgroup_version);
  node.problems = info.problems.size();
  return node;
}

void NodeMetrics::DescribeNode() {
  const bool first = !described_until_.has_value();
  const bool due = first || described_until_->expired();
  // Not beside a freeze, which it could lengthen.
  if (due && !asked_.valid() && (first || operations_.ListRunning().empty())) {
    asked_ = std::async(std::launch::async, [this] { return AskNode(); });
  }
  if (!asked_.valid()) return;
  const auto patience = first ? kFirstPatience : std::chrono::milliseconds(0);
  if (asked_.wait_for(patience) != std::future_status::ready) return;
  metrics_.SetNode(asked_.get());
  described_until_ = Deadline::After(kDescriptionAge);
}

std::string NodeMetrics::Collect() {
  const std::lock_guard lock(mutex_);
  DescribeNode();
  const FrozenPods frozen = CountFrozenPods(config_, operations_);
  metrics_.SetFrozen(frozen.pods, frozen.longest);
  metrics_.SetForeignJobs(operations_.ListForeign().size());
  const Result<metrics::StoreUsage> usage = census_.Count();
  if (usage.ok()) {
    metrics_.SetStore(*usage);
  } else {
    Log(LogLevel::kWarning, "counting the archives", {{"reason", usage.status().message()}});
  }
  return metrics_.Serialize();
}

}  // namespace cryopod::daemon
