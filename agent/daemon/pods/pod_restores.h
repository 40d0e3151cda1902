#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "agent/daemon/operations/operation_register.h"
#include "agent/daemon/operations/restore_operations.h"
#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"
#include "cri/runtime_client.h"
#include "metrics/agent_metrics.h"

namespace cryopod::daemon {

struct RestoreOptions {
  std::string operation_id;  // empty: a new one
  std::string archive;       // NAME[@sha256:DIGEST]
  std::string request_json;  // CRI RestorePodRequest's shape
  bool request_from_archive = false;
  std::string runtime_handler;  // empty: "cryopod"
  uint32_t timeout_s = 0;       // 0: the configured one
};

struct RestoreParts {
  const settings::AgentSettings& config;
  cri::RuntimeClient& runtime;
  OperationRegister& operations;
  RestoreOperations& restores;
  metrics::AgentMetrics& metrics;
};

// New pods out of archives of this node, through CRI: a sandbox with the annotation that asks for
// the restore, containers, started, and proven to be the restored ones by their consumed records.
// On any error everything that was made is removed again; what cannot be, or what an agent leaves
// that is killed meanwhile, stands in the journal and is settled by the next agent (HalfMadePods).
//
// Threads  any. One thread an operation, which goes on when its caller goes away.
class PodRestores {
 public:
  explicit PodRestores(const RestoreParts& parts) : parts_(parts) {}

  // With the ID of an operation that is known already: that one. Errors: kAborted (another
  // operation runs on a pod of this UID), kAlreadyExists (the ID), those of opening the archive and
  // of the request.
  Result<std::shared_ptr<Operation>> Start(const RestoreOptions& options);

 private:
  struct Worker {
    std::atomic<bool> ended = false;
    std::jthread thread;
  };
  Result<std::shared_ptr<Operation>> TryStart(const RestoreOptions& options);

  const RestoreParts parts_;
  std::mutex mutex_;  // guards workers_
  std::list<Worker> workers_;
};

}  // namespace cryopod::daemon
