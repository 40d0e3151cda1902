#pragma once

#include <string>

#include "agent/api/types.h"
#include "agent/daemon/operations/operation.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"
#include "cri/pod_sandbox.h"
#include "cri/runtime_client.h"

namespace cryopod::daemon {

// <namespace>_<pod>_<UTC time>
std::string DefaultArchiveName(const cri::PodSandbox& pod);

// What cryopod-checkpoint is handed: everything that only CRI can tell. Pure.
//
// A checkpoint takes each container by its last attempt: those that run are dumped. One that has
// ended well is recorded, and never run again by a restore: an init container, or one of a pod that
// does not restart it. One that has ended badly, or has not been started, is a reason to refuse: no
// restore could make it again.
//
// Errors: kFailedPrecondition (the pod or a container does not run; names it), kInvalidArgument
// (the archive's name).
Result<jobs::CheckpointJob> DescribeCheckpointJob(const settings::AgentSettings& config,
                                                  const api::CheckpointRequest& request,
                                                  const cri::PodSandbox& pod,
                                                  const cri::RuntimeVersion& runtime,
                                                  const OperationFacts& operation);

}  // namespace cryopod::daemon
