#pragma once

#include <string>
#include <vector>

#include "agent/checkpoint/dump_target.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/os/mount_info.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// From CRI's words to kernel objects. Errors: kFailedPrecondition (a container that does
// not run, a root file system that is no overlay), kAborted (the pod changed under us).
Result<ResolvedPod> ResolvePod(const jobs::CheckpointJob& job);

// Pure: upperdir= of the overlay mounted at `rootfs`. Errors: kFailedPrecondition, names what is
// mounted there instead.
Result<std::string> UpperDirOf(const std::string& rootfs, const std::vector<MountEntry>& mounts);

// Is every container still the process that was resolved? Errors: kAborted, names the container.
Status CheckUnchanged(const ResolvedPod& pod);

}  // namespace cryopod::checkpoint
