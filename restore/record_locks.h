#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "agent/archive/oci/pod_checkpoint.h"
#include "agent/os/status.h"

namespace cryopod::restore {

// Does /proc/<pid>/fdinfo/<fd> say that the process holds the lock?
bool HoldsLock(std::string_view fdinfo, const archive::RecordLock& lock);

// Sets those of `locks` that the restored processes do not hold, in their name: CRIU 4.2 sets
// record locks before it maps files, and then closes the descriptor that it mapped one by, with
// which the kernel drops the process's locks on that file (SQLite in WAL mode would write two at
// once). All processes must stand in their SIGSTOP, and stay so. `init` is the container's first
// one. Errors: kFailedPrecondition and others; they name process and descriptor.
Status SetLostLocks(pid_t init, const std::string& cgroup_dir,
                    const std::vector<archive::RecordLock>& locks);

}  // namespace cryopod::restore
