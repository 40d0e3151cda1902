#pragma once

#include <string>

#include "agent/api/types.h"
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

// Asks the kernel, CRIU, the container runtime, cryopod-runtime and cryopod-unpack. Takes some
// 200 ms, and some seconds where one of them does not answer. A requirement that stands on another
// which is not met is not looked at, so that one cause is named once and not with all that follows.
// A problem is "criu: CRIU 3.17 is too old; install 4.1 or newer", for each that is lacking.
//
// Threads  any.
api::NodeInfo LookAtNode(const settings::AgentSettings& settings,
                         cri::RuntimeClient& container_runtime, const Observer& observer);

}  // namespace cryopod::node
