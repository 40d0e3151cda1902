#pragma once

#include <thread>

#include "agent/daemon/operations/restore_operations.h"
#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"

namespace cryopod::daemon {

// Accepts cryopod-runtime's connections on the runtime socket (0600, root) as long as the thread
// lives that it returns, and hands each to RestoreOperations on a short-lived thread: a slow one
// keeps nobody waiting. Listens when it returns.
Result<std::jthread> ServeWrappers(const settings::AgentSettings& config,
                                   RestoreOperations& restores);

}  // namespace cryopod::daemon
