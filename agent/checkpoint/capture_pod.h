#pragma once

#include <string>
#include <vector>

#include "agent/checkpoint/check_members.h"
#include "agent/checkpoint/dump_target.h"
#include "agent/checkpoint/freeze_pod.h"
#include "agent/checkpoint/prepare_dumps.h"
#include "agent/criu/images/criu_images.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// What the freeze yielded of one container.
struct CapturedContainer {
  std::vector<criu::DumpedProcess> processes;
  std::vector<criu::RecordLock> record_locks;
  uint32_t tasks = 0;  // threads that live; zombies are none
  uint64_t rootfs_bytes = 0;
};

struct CapturedPod {
  std::vector<CapturedContainer> containers;  // as the pod's targets
  std::vector<std::string> uncarried;         // at the cut; as of UncarriedContent
};

// Dumps all containers at once and takes what has changed of their writable layers, then
// proves that nothing came in meanwhile. Content that no archive carries is looked for once more:
// it may have come since preflight. The pod is frozen and stays so. Errors: kAborted: the capture
// is no cut, discard it and try again; else why a dump failed, with the container's name.
Result<CapturedPod> CapturePod(const ResolvedPod& pod, std::vector<PreparedDump>& dumps,
                               const FrozenPod& frozen, const BirthWatch& births,
                               Deadline deadline);

}  // namespace cryopod::checkpoint
