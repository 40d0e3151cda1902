#pragma once

#include <stop_token>
#include <string>

#include "agent/daemon/operations/operation.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/os/status.h"

namespace cryopod::daemon {

// What a checkpoint came to whose process has ended. What that process left is undone first: as
// long as anything of the pod may stand still for it, this goes on trying, in stage "release", and
// says nothing.
//
// Errors: kCancelled (`stop` was requested before it was done; the next agent does it), not
// understood (nobody but the job's own program may touch what is left).
Result<jobs::CheckpointResult> CollectResult(const std::stop_token& stop, Operation& operation,
                                             const std::string& job_dir);

}  // namespace cryopod::daemon
