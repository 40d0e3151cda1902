#pragma once

#include <map>
#include <mutex>
#include <string>

#include "agent/config.h"
#include "agent/job_process.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::agent {

// Starts one cryopod-restore process per pod that asks for a restore, and hands it what the runtime
// wrapper says.
//
// Threads  any.
class RestoreOperations {
 public:
  explicit RestoreOperations(const Config& config);

  // One connection of cryopod-runtime and its first message. Answers it, or hands it to the pod's
  // cryopod-restore. Fails closed: a request that cannot be answered by PASS gets FAIL.
  void Serve(UniqueFd connection, const std::string& frame);

  // Ends what restores have left whose process is gone, killed ones too: their held containers run
  // then. Cheap when there is nothing to do; called a few times a second.
  void Sweep();

  // At start-up: restores that still run are found again, what dead ones left is removed.
  Status AdoptOrRepair();

 private:
  struct Job {
    std::string operation_id;
    JobProcess process;
  };

  Result<std::string> JobFor(const runtime::Request& request, bool may_start);
  Result<std::string> StartJob(const runtime::Request& request);
  Status RemoveRestoreJob(const std::string& operation_id);

  const Config& config_;
  std::mutex mutex_;                 // guards jobs_
  std::map<std::string, Job> jobs_;  // by pod UID, archive and restore operation
};

}  // namespace cryopod::agent
