#pragma once

#include <memory>

#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"

namespace grpc {
class Service;
}

namespace cryopod::daemon {

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
class ReaderServer {
 public:
  // Listens when it returns. `agent_service` is the agent's v1::PodCheckpoints::Service, and
  // outlives this. Errors: kUnavailable, names the socket.
  static Result<std::unique_ptr<ReaderServer>> Start(const settings::AgentSettings& config,
                                                     grpc::Service& agent_service);
  ~ReaderServer();

 private:
  struct Running;
  explicit ReaderServer(std::unique_ptr<Running> running);
  std::unique_ptr<Running> running_;
};

}  // namespace cryopod::daemon
