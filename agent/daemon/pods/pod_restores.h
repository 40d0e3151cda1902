#pragma once

#include <memory>

#include "agent/api/types.h"
#include "agent/daemon/operations/agent_parts.h"
#include "agent/daemon/operations/restore_operations.h"
#include "agent/daemon/operations/workers.h"

namespace cryopod::daemon {

// New pods out of archives of this node, through CRI: a sandbox with the annotation that asks for
// the restore, containers, started, and proven to be the restored ones by their consumed records.
// On any error everything that was made is removed again; what cannot be, or what an agent leaves
// that is killed meanwhile, stands in the journal and is settled by the next agent
// (SettleHalfMadePods).
//
// Threads  any. One thread an operation, which goes on when its caller goes away.
class PodRestores {
 public:
  PodRestores(const AgentParts& agent, RestoreOperations& restores)
      : agent_(agent), restores_(restores) {}

  // With the ID of an operation that is known already: that one. Errors: kAborted (another
  // operation runs on a pod of this UID), kAlreadyExists (the ID), those of opening the archive and
  // of the request.
  Result<std::shared_ptr<Operation>> Start(const api::RestoreRequest& asked);

 private:
  Result<std::shared_ptr<Operation>> TryStart(const api::RestoreRequest& asked);

  const AgentParts agent_;
  RestoreOperations& restores_;
  Workers workers_;  // last: they use what stands above
};

}  // namespace cryopod::daemon
