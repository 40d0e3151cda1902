#include "agent/daemon/observe/node_info.h"

#include "agent/node/node_report.h"

namespace cryopod::daemon {

api::NodeInfo ReadNodeInfo(const settings::AgentSettings& config, cri::RuntimeClient& runtime) {
  return node::LookAtNode(config, runtime, {.is_agent = true, .agent_version = CRYOPOD_VERSION});
}

}  // namespace cryopod::daemon
