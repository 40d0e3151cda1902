#pragma once

#include "agent/os/status.h"

namespace cryopod::archive {

// What cryopod-unpack does with a stranger's image layout in `layout_dir_fd` after it has unpacked
// it, in the process that has given up its rights: reads every document of the archive, holds all
// of it to what OpenLayout asks for, and leaves oci-layout and index.json in our words.
//
// A document is refused unless it is byte for byte what our own writer makes of what it says. So
// the agent, which opens the archive from here on, parses nothing that a stranger has phrased:
// no depth, no doubled key, no broken UTF-8, nothing beyond json::Limits.
//
// Errors: kInvalidArgument (no archive of a pod), kDataLoss, kUnimplemented (newer version).
Status SettleLayout(int layout_dir_fd);

}  // namespace cryopod::archive
