#pragma once

#include <memory>
#include <string>

#include "agent/api/types.h"
#include "agent/daemon/operations/agent_parts.h"
#include "agent/daemon/operations/workers.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/process_identity.h"

namespace cryopod::daemon {

// Starts cryopod-checkpoint processes, follows them to their end, and finishes what only CRI can:
// removing a source that was stopped. A process outlives the agent; the next agent adopts it.
//
// Threads  any. One follower thread an operation.
class CheckpointOperations {
 public:
  // Its end stops following; the processes go on, and what waits for one (a repair, the removal of
  // a source) is left to the next agent. Lasts as long as one call of the runtime that is under
  // way.
  explicit CheckpointOperations(const AgentParts& agent) : agent_(agent) {}

  // With the ID of an operation that is known already: that one. Errors: kNotFound (no such pod),
  // kFailedPrecondition (it does not run), kAborted (another operation runs on it), kAlreadyExists
  // (the archive's name, or the ID). Each is counted as a failed checkpoint.
  Result<std::shared_ptr<Operation>> Start(const api::CheckpointRequest& request);

  // At start-up, before anything is served: thaws what a dead operation left at once; adopts a
  // living one, repairs a dead one in the background. A job that is not understood is left alone.
  void AdoptOrRepair(const std::string& operation_id);

 private:
  Result<std::shared_ptr<Operation>> TryStart(const api::CheckpointRequest& request);
  Status Launch(const api::CheckpointRequest& request, const cri::PodSandbox& pod,
                Deadline patience, const std::shared_ptr<Operation>& operation);
  void StartFollower(const std::shared_ptr<Operation>& operation, const jobs::CheckpointJob& job,
                     jobs::JobProcess process);
  const AgentParts agent_;
  Workers followers_;
};

}  // namespace cryopod::daemon
