#pragma once

#include <vector>

#include "agent/archive/oci/pod_checkpoint.h"
#include "agent/checkpoint/check_members.h"
#include "agent/checkpoint/freeze_pod.h"
#include "agent/checkpoint/prepare_dumps.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// Dumps all containers at once and takes what has changed of their writable layers, then
// proves that nothing came in meanwhile. Content that no archive carries is looked for once more:
// it may have come since preflight. The pod is frozen and stays so.
//
// `checkpoint` describes the pod (DescribePod); what the freeze yields of its containers, and what
// it lacks, is written into it. Errors: kAborted: the capture is no cut, discard it and try again;
// else why a dump failed, with the container's name.
Status CapturePod(const ResolvedPod& pod, std::vector<PreparedDump>& dumps, const FrozenPod& frozen,
                  const BirthWatch& births, Deadline deadline, archive::PodCheckpoint& checkpoint);

}  // namespace cryopod::checkpoint
