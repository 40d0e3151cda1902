#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/daemon/operations/agent_parts.h"
#include "agent/daemon/operations/restore_progress.h"
#include "agent/daemon/operations/workers.h"
#include "agent/jobs/process_identity.h"
#include "agent/jobs/restore_job.h"
#include "agent/os/unique_fd.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::daemon {

// Starts one cryopod-restore process per pod that asks for a restore, and hands it what the runtime
// wrapper says.
//
// Threads  any. What takes time (starting, connecting, ending) is done under a lock of that pod
//          alone: a restore that is stuck keeps no other waiting.
class RestoreOperations {
 public:
  explicit RestoreOperations(const AgentParts& agent) : agent_(agent) {}

  // One connection of cryopod-runtime and its first message. Answers it, or hands it to the pod's
  // cryopod-restore. Fails closed: a request that cannot be answered by PASS gets FAIL.
  void Serve(UniqueFd connection, const std::string& frame);

  // Counts what restores have come to, and ends what those have left whose process is gone, killed
  // ones too: their held containers run then. Each is ended by a thread of its own. Cheap when
  // there is nothing to do; called a few times a second.
  void Sweep();

  // At start-up: a restore that still runs is found again, what a dead one left is removed.
  void AdoptOrRepair(const std::string& operation_id);

  // Ends the cryopod-restore that works for the pod of this request, if there is one; its next
  // container fails.
  void EndFor(const std::string& restore_operation);

  // UIDs of the pods for which a cryopod-restore works, and the end of those of one of them.
  std::vector<std::string> ListPods();
  void EndForPod(const std::string& pod_uid);

 private:
  // The restores of one pod, one after another.
  struct Job {
    std::mutex mutex;  // guards all below; may be held for as long as a step takes
    // Its operation_id is empty: none has been started, or the last one is ended.
    jobs::RestoreJob restore;
    std::shared_ptr<jobs::JobProcess> process = std::make_shared<jobs::JobProcess>();
    // None when the agent itself makes the pod: that is the operation, this a part of it.
    std::unique_ptr<RestoreProgress> progress;
    std::atomic<bool> ending = false;  // a thread of Sweep has it
  };

  Status AddImage(wrapper::Request& request) const;
  bool IsUntouched(const Job& job) const;
  Status StartCold(const wrapper::Request& request);
  std::shared_ptr<Job> JobOf(const wrapper::Request& request);
  void DropUnused();
  Status HandOver(Job& job, const wrapper::Request& request, bool may_start, int connection);
  static void SetProcess(Job& job, jobs::JobProcess process);
  Status StartJob(Job& job, const wrapper::Request& request);
  void EndIfDead(Job& job);
  template <typename Act>
  void ForEachJob(const Act& act);
  Status BeginOperation(Job& job);

  const AgentParts agent_;
  std::mutex mutex_;  // guards jobs_; never held while anything is waited for
  std::map<std::string, std::shared_ptr<Job>> jobs_;  // by pod UID, archive and restore operation
  Workers enders_;                                    // last: they use what stands above
};

}  // namespace cryopod::daemon
