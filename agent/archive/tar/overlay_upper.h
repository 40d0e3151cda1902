#pragma once

#include <functional>

#include "agent/archive/tar/layer_entry.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// Receives an entry and, for a file, the open file with entry.size_bytes bytes to read.
using UpperSink = std::function<Status(const LayerEntry& entry, int file_fd)>;

// Walks a copy of an overlayfs upper directory in a fixed order, parents first, and says what it
// means for the layers below.
//
// Source  kernel Documentation/filesystems/overlayfs.rst: whiteouts are 0:0 character devices or
//         (6.7 on) empty files with the xattr "overlay.whiteout"; a directory with the xattr
//         "overlay.opaque" = "y" hides what lies below; both under "trusted." or "user.".
// Errors  what a reader would refuse (LayerChecker, device nodes); kUnimplemented for redirect,
// metacopy and names that start with ".wh.", names the path.
Status WalkOverlayUpper(int dir_fd, const UpperSink& sink);

}  // namespace cryopod::archive
