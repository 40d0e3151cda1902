#pragma once

#include <string>
#include <vector>

#include "agent/node/requirement_list.h"
#include "agent/os/machine.h"
#include "agent/settings/agent_settings.h"
#include "cri/runtime_client.h"

namespace cryopod::node {

// Who looks: the agent sees its own capabilities and sockets; of an agent that does not answer
// somebody else has to say so.
struct Observer {
  bool is_agent = true;
  std::string agent_version = {};  // of the agent that looks
  std::string agent_problem = {};  // why it does not answer, when somebody else looks
};

struct NodeReport {
  Machine machine;
  std::string criu_version;
  std::string runtime_name;
  std::string runtime_version;
  RequirementList requirements;
};

// Asks the kernel, CRIU, the container runtime, cryopod-runtime and cryopod-unpack. Takes some
// 200 ms, and some seconds where one of them does not answer.
//
// Threads  any.
NodeReport LookAtNode(const settings::AgentSettings& settings,
                      cri::RuntimeClient& container_runtime, const Observer& observer);

}  // namespace cryopod::node
