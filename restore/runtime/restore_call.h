#pragma once

#include "agent/os/deadline.h"
#include "restore/runtime/agent_connection.h"
#include "restore/runtime/wrapper.h"

namespace cryopod::wrapper {

// Runs the OCI runtime's `restore` by the plan of the connection's answer, reports its end, and
// marks the container as restored when the second answer is PASS. Whatever fails leaves no
// container. Returns the exit code.
int RestoreContainer(const Call& call, const Request& request, AgentConnection connection,
                     Deadline deadline);

// Pure: the command line of that call.
std::vector<std::string> RestoreCommand(const Call& call, const Request& request, const Plan& plan);

}  // namespace cryopod::wrapper
