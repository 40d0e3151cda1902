#pragma once

#include "agent/daemon/operations/agent_parts.h"
#include "agent/daemon/operations/checkpoint_operations.h"
#include "agent/daemon/pods/pod_restores.h"
#include "agent/daemon/sockets/reader_socket.h"
#include "agent/os/status.h"

namespace cryopod::daemon {

// cryopod.v1.PodCheckpoints on the agent socket. The socket's mode is its access control: 0600,
// root. Readers have a socket of their own beside it (agent/daemon/sockets/reader_socket.h).
//
// Threads  the gRPC library's; everything shared is in the objects handed in.
//
// Listens when it returns. Errors: kUnavailable, names the socket.
Result<ServedSocket> ServeAgent(const AgentParts& agent, CheckpointOperations& checkpoints,
                                PodRestores& pods);

}  // namespace cryopod::daemon
