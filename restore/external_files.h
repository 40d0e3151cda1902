#pragma once

#include "agent/archive/oci/pod_checkpoint.h"
#include "agent/os/status.h"
#include "restore/mounts/live_mounts.h"

namespace cryopod::restore {

// Does the live pod show every file that the container's processes had open on a volume which is
// not in the archive, at the same place and as large? CRIU would fail on the first that is missing,
// in the middle of a restore, and name its path alone.
//
// What the archive says is a stranger's word: it is looked for beneath the live pod's own mounts,
// through no symlink, and nothing but its presence and size is told.
// Errors: kFailedPrecondition with kFileAbsent or kFileChanged, names files and volumes.
Status CheckExternalFiles(const archive::ContainerCheckpoint& container, const LiveMounts& live);

}  // namespace cryopod::restore
