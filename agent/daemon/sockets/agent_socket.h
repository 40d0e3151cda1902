#pragma once

#include <memory>
#include <string>

#include "agent/daemon/operations/checkpoint_operations.h"
#include "agent/daemon/operations/operation_register.h"
#include "agent/daemon/pods/pod_restores.h"
#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"
#include "cri/runtime_client.h"
#include "metrics/agent_metrics.h"

namespace cryopod::daemon {

// cryopod.v1.PodCheckpoints on the agent socket. The socket's mode is its access control: 0600,
// root. Readers have a socket of their own beside it (agent/daemon/sockets/reader_socket.h).
//
// Threads  the gRPC library's; everything shared is in the objects handed in.
class AgentServer {
 public:
  struct Parts {
    const settings::AgentSettings& config;
    cri::RuntimeClient& runtime;
    OperationRegister& operations;
    CheckpointOperations& checkpoints;
    PodRestores& pods;
    metrics::AgentMetrics& metrics;
  };
  // Listens when it returns. Errors: kUnavailable, names the socket.
  static Result<std::unique_ptr<AgentServer>> Start(const Parts& parts);
  ~AgentServer();

 private:
  struct Service;
  struct Running;
  explicit AgentServer(std::unique_ptr<Running> running);
  std::unique_ptr<Running> running_;
};

}  // namespace cryopod::daemon
