#pragma once

#include "agent/archive/unpack/unpack_task.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// Gives up what a parser does not need, for good. Root becomes kUnpackUser in a root that is empty,
// with the directory behind `output_fd` detached from the node's files. Then, whoever it is:
// capabilities, new privileges, memory, descriptors, processes, core dumps, every path outside the
// directory that it writes to, every system call but some forty. The limits apply to what this
// kernel knows of them; what fails otherwise is an error, and nothing foreign may be read then.
Status Confine(const UnpackTask& task, int output_fd);

// The work of cryopod-unpack in its own process, but for what its main does with other modules
// (kRewrite; CRIU's images and the documents of a layout after they are unpacked): what the task
// says, on the descriptors that it was handed. Errors: kDataLoss (hostile or damaged input),
// kResourceExhausted (limits, disk).
Status RunUnpackTask(const UnpackTask& task, int input_fd, int output_fd);

// A layer's entry as a tar has it ("./a/", "a/.wh.b") in the form that LayerEntry has. False for
// the entry of the root itself, which says nothing. Pure.
Result<bool> NormalizeLayerEntry(LayerEntry* entry);

}  // namespace cryopod::archive
