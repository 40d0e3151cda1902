#pragma once

#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod {

// How a process leaves every file system behind. It takes CAP_SYS_ADMIN and CAP_SYS_CHROOT; once
// these are given up, there is no way back.
//
// Both mounts hang nowhere: no mount namespace is made, which would copy the node's whole mount
// table and keep pods' file systems busy for as long as the process runs.
//
// Source  fsopen(2), open_tree(2), mount_setattr(2), chroot(2).

// Root and working directory become an empty file system that cannot be written to. A directory
// that is open leads out all the same, by "..": close it, or take DetachDirectory's instead.
Status EnterEmptyRoot();

// The directory behind `dir_fd` as the root of a mount of its own: ".." ends at it, nothing in it
// is executed or a device, and no symlink is followed.
Result<UniqueFd> DetachDirectory(int dir_fd);

}  // namespace cryopod
