#pragma once

#include "agent/archive/unpack/unpack_task.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// The work of cryopod-unpack in its own process, but for what its main does to CRIU's images, of
// which this module knows nothing (kRewrite, and kImages after they are unpacked): what the task
// says, on the descriptors that it was handed. Errors: kDataLoss (hostile or damaged input),
// kResourceExhausted (limits, disk).
Status RunUnpackTask(const UnpackTask& task, int input_fd, int output_fd);

// Each mode by itself.
Status UnpackFilesInto(int input_fd, int dir_fd, const UnpackLimits& limits);
Status UnpackLayoutInto(int input_fd, int dir_fd, const UnpackLimits& limits);
Status EmitFiles(int input_fd, int pipe_fd, const UnpackLimits& limits);
Status EmitLayer(int input_fd, int pipe_fd, const UnpackLimits& limits);

// A layer's entry as a tar has it ("./a/", "a/.wh.b") in the form that LayerEntry has. False for
// the entry of the root itself, which says nothing. Pure.
Result<bool> NormalizeLayerEntry(LayerEntry* entry);

}  // namespace cryopod::archive
