#pragma once

#include "agent/checkpoint/resolve_pod.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// Was every container of the pod dumped? One that was added or restarted since CRI was asked has
// run through the cut. Asked after the cut, it is told by what the OCI runtime keeps and by the
// namespaces that it shares with those that were dumped.
//
// Errors: kFailedPrecondition (kPodChanged), names the container.
Status CheckNoneIsLate(const jobs::CheckpointJob& job, const ResolvedPod& pod);

}  // namespace cryopod::checkpoint
