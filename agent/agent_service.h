#pragma once

#include <memory>
#include <string>

#include "agent/checkpoint_operations.h"
#include "agent/config.h"
#include "agent/operation.h"
#include "agent/os/status.h"
#include "agent/restore_pod.h"
#include "cri/runtime_client.h"
#include "metrics/agent_metrics.h"

namespace cryopod::agent {

// cryopod.v1.PodCheckpoints on the agent socket. The socket's mode is its access control: 0600,
// root. Readers have a socket of their own beside it (agent/reader_server.h).
//
// Threads  the gRPC library's; everything shared is in the objects handed in.
class AgentServer {
 public:
  struct Parts {
    const Config& config;
    cri::RuntimeClient& runtime;
    OperationTable& table;
    CheckpointOperations& checkpoints;
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

}  // namespace cryopod::agent
