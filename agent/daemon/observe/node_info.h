#pragma once

#include <string>
#include <vector>

#include "agent/api/requirement.h"
#include "agent/settings/agent_settings.h"
#include "cri/runtime_client.h"

namespace cryopod::daemon {

struct NodeInfo {
  std::string criu_version;
  std::string runtime_name;
  std::string runtime_version;
  std::string kernel;
  std::string architecture;
  std::string cgroup_version;         // "v1", "v2"
  std::vector<std::string> problems;  // why this node cannot checkpoint or restore, with the remedy
  std::vector<api::Requirement> requirements;  // where the problems come from
};

// Asks CRIU, the runtime and the kernel, as node::LookAtNode.
NodeInfo ReadNodeInfo(const settings::AgentSettings& config, cri::RuntimeClient& runtime);

}  // namespace cryopod::daemon
