#include "agent/daemon/observe/node_info.h"

#include <utility>

#include "agent/node/node_report.h"

namespace cryopod::daemon {

api::NodeInfo ReadNodeInfo(const settings::AgentSettings& config, cri::RuntimeClient& runtime) {
  node::NodeReport report =
      node::LookAtNode(config, runtime, {.is_agent = true, .agent_version = CRYOPOD_VERSION});
  api::NodeInfo info;
  info.agent_version = CRYOPOD_VERSION;
  info.kernel = std::move(report.machine.kernel);
  info.architecture = std::move(report.machine.architecture);
  info.cgroup_version = std::move(report.machine.cgroup_version);
  info.criu_version = std::move(report.criu_version);
  info.runtime_name = std::move(report.runtime_name);
  info.runtime_version = std::move(report.runtime_version);
  info.problems = report.requirements.Problems();
  info.requirements = report.requirements.all();
  return info;
}

}  // namespace cryopod::daemon
