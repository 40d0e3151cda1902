#pragma once

#include <chrono>
#include <memory>

#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"

namespace grpc {
class Service;
}

namespace cryopod::daemon {

// A socket that is served as long as this lives.
using ServedSocket = std::shared_ptr<void>;
// For calls under way when a socket is no longer served.
inline constexpr std::chrono::seconds kShutdownTimeout{2};

// cryopod.v1.PodCheckpoints for those who may only look: the gateway, and whoever is in the
// readers' group.
//
// Shape    a socket of its own, because gRPC 1.51 does not show who is at the other end: who can
//          open the file has the role. Mode 0660, root and config.reader_group; without such a
//          group 0600.
//          List, NodeInfo and Metrics are answered; all else is PERMISSION_DENIED. Inspect is among
//          the refused: a PodCheckpoint may hold the containers' environment.
// Threads  few, and not more when many ask: readers are answered with RESOURCE_EXHAUSTED before
//          they take the agent's memory.
//
// Listens when it returns. `agent_service` is the agent's v1::PodCheckpoints::Service, and outlives
// what is returned. Errors: kUnavailable, names the socket.
Result<ServedSocket> ServeReaders(const settings::AgentSettings& config,
                                  grpc::Service& agent_service);

}  // namespace cryopod::daemon
