#pragma once

#include <memory>
#include <thread>

#include "agent/daemon/operations/restore_operations.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"
#include "agent/settings/agent_settings.h"

namespace cryopod::daemon {

// Accepts cryopod-runtime's connections on the runtime socket (0600, root) and hands each to
// RestoreOperations on a short-lived thread: a slow one keeps nobody waiting.
class WrapperServer {
 public:
  static Result<std::unique_ptr<WrapperServer>> Start(const settings::AgentSettings& config,
                                                      RestoreOperations& restores);
  ~WrapperServer();

 private:
  WrapperServer(UniqueFd listener, RestoreOperations& restores);
  void Accept(const std::stop_token& stop);
  UniqueFd listener_;
  RestoreOperations& restores_;
  std::jthread thread_;
};

}  // namespace cryopod::daemon
