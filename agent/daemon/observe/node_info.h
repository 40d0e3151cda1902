#pragma once

#include "agent/api/types.h"
#include "agent/settings/agent_settings.h"
#include "cri/runtime_client.h"

namespace cryopod::daemon {

// Asks CRIU, the container runtime and the kernel, as node::LookAtNode.
api::NodeInfo ReadNodeInfo(const settings::AgentSettings& config, cri::RuntimeClient& runtime);

}  // namespace cryopod::daemon
