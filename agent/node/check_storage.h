#pragma once

#include <string>

#include "agent/node/requirement_list.h"
#include "agent/settings/agent_settings.h"

namespace cryopod::node {

// The agent's directories: there, ours, and closed to others where the memory of processes lies.
Finding CheckDirectories(const settings::AgentSettings& settings);

// Room for archives in the state directory.
Finding CheckDiskSpace(const settings::AgentSettings& settings);

}  // namespace cryopod::node
