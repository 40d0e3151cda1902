#pragma once

#include "agent/node/requirement_list.h"
#include "agent/os/deadline.h"
#include "agent/settings/agent_settings.h"

namespace cryopod::node {

Finding CheckCriu(const settings::AgentSettings& settings, Deadline deadline);
// Asks CRIU whether it can work on this kernel.
Finding CheckCriuFeatures(const settings::AgentSettings& settings, Deadline deadline);

// cryopod-checkpoint and cryopod-restore are where this installation has them.
Finding CheckInnerPrograms(const settings::AgentSettings& settings);

// Lets cryopod-unpack give up its rights and unpack a blob that holds nothing.
Finding CheckUnpack(const settings::AgentSettings& settings, Deadline deadline);

// cryopod-runtime can reach the agent at the runtime socket.
Finding CheckRuntimeSocket(const settings::AgentSettings& settings, Deadline deadline);

}  // namespace cryopod::node
