#pragma once

#include "agent/archive/unpack/unpack_task.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// Gives up what a parser does not need, for good: capabilities, new privileges, memory,
// descriptors, processes, core dumps, every path outside the directory that it writes to, every
// system call but some forty. The limits apply to what this kernel knows of them; what fails
// otherwise is an error, and nothing foreign may be read then.
Status Confine(const UnpackTask& task, int output_fd);

}  // namespace cryopod::archive
