#pragma once

#include <memory>
#include <thread>

#include "agent/config.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"
#include "agent/restore_operations.h"

namespace cryopod::agent {

// Accepts cryopod-runtime's connections on the runtime socket (0600, root) and hands each to
// RestoreOperations on a short-lived thread: a slow one keeps nobody waiting.
class RuntimeServer {
 public:
  static Result<std::unique_ptr<RuntimeServer>> Start(const Config& config,
                                                      RestoreOperations& restores);
  ~RuntimeServer();

 private:
  RuntimeServer(UniqueFd listener, RestoreOperations& restores);
  void Accept(const std::stop_token& stop);
  UniqueFd listener_;
  RestoreOperations& restores_;
  std::jthread thread_;
};

}  // namespace cryopod::agent
