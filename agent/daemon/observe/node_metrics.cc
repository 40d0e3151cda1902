#include "agent/daemon/observe/node_metrics.h"

#include <chrono>

#include "agent/daemon/observe/frozen_pods.h"
#include "agent/node/node_report.h"
#include "agent/os/log.h"

namespace cryopod::daemon {
namespace {

// Asking takes a CRIU of its own.
constexpr std::chrono::minutes kDescriptionAge{5};
// So that the first scrape knows the node already, where nothing hangs.
constexpr std::chrono::milliseconds kFirstPatience{2000};

metrics::NodeDescription Describe(const api::NodeInfo& info) {
  metrics::NodeDescription node;
  node.agent_version = info.agent_version;
  node.criu_version = info.criu_version;
  node.runtime_name = info.runtime_name;
  node.runtime_version = info.runtime_version;
  node.kernel = info.kernel;
  node.architecture = info.architecture;
  node.cgroup_version = info.cgroup_version;
  node.problems = info.problems.size();
  return node;
}

}  // namespace

api::NodeInfo ReadNodeInfo(const AgentParts& agent) {
  const node::NodeReport report = node::LookAtNode(
      agent.config, agent.runtime, {.is_agent = true, .agent_version = CRYOPOD_VERSION});
  api::NodeInfo info;
  info.agent_version = CRYOPOD_VERSION;
  info.kernel = report.machine.kernel;
  info.architecture = report.machine.architecture;
  info.cgroup_version = report.machine.cgroup_version;
  info.criu_version = report.criu_version;
  info.runtime_name = report.runtime_name;
  info.runtime_version = report.runtime_version;
  info.problems = report.requirements.Problems();
  info.requirements = report.requirements.all();
  return info;
}

void NodeMetrics::DescribeNode() {
  const bool first = !described_until_.has_value();
  const bool due = first || described_until_->expired();
  // Not beside a freeze, which it could lengthen.
  if (due && !asked_.valid() && (first || agent_.operations.ListRunning().empty())) {
    asked_ = std::async(std::launch::async, [this] { return ReadNodeInfo(agent_); });
  }
  if (!asked_.valid()) return;
  const auto patience = first ? kFirstPatience : std::chrono::milliseconds(0);
  if (asked_.wait_for(patience) != std::future_status::ready) return;
  agent_.metrics.SetNode(Describe(asked_.get()));
  described_until_ = Deadline::After(kDescriptionAge);
}

std::string NodeMetrics::Collect() {
  const std::lock_guard lock(mutex_);
  DescribeNode();
  const FrozenPods frozen = CountFrozenPods(agent_);
  agent_.metrics.SetFrozen(frozen.pods, frozen.longest);
  agent_.metrics.SetForeignJobs(agent_.operations.ListForeign().size());
  const Result<metrics::StoreUsage> usage = census_.Count();
  if (usage.ok()) {
    agent_.metrics.SetStore(*usage);
  } else {
    Log(LogLevel::kWarning, "counting the archives", {{"reason", usage.status().message()}});
  }
  return agent_.metrics.Serialize();
}

}  // namespace cryopod::daemon
