#pragma once

#include "agent/os/status.h"

namespace cryopod::criu {

// The content of a container's /dev, and of other tmpfs that hold next to nothing, as the gzipped
// tar that CRIU's images have of a tmpfs. GNU tar makes the same of it, but through two more
// programs, which takes some 15 ms inside every freeze.
//
// Source   CRIU criu/filesystems.c (tmpfs_dump); GNU tar's format of old (gnu).
// Threads  any.

// Writes the tree of `dir_fd` to `out_fd` and returns true; returns false, and has written nothing,
// when there is anything but directories, symlinks, devices, FIFOs and empty files, or too much:
// that is GNU tar's work. A directory where another file system is mounted stays empty. Errors:
// those of reading and writing.
Result<bool> PackSimpleTree(int dir_fd, int out_fd);

}  // namespace cryopod::criu
