#pragma once

#include <string>

#include "agent/os/status.h"

namespace cryopod::wrapper {

// Detaches what an OCI runtime leaves mounted when it is killed inside a restore: the root file
// system at <state_dir>/criu-root, and the container's volumes beneath `rootfs` (empty: unknown).
// As long as they stand, a recursive removal of these directories would reach into the volumes.
//
// Source   runc 1.1 to 1.3, libcontainer/criu_linux.go (Restore, prepareCriuRestoreMounts).
Status DetachRestoreMounts(const std::string& state_dir, const std::string& rootfs);

}  // namespace cryopod::wrapper
