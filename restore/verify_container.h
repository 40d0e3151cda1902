#pragma once

#include <cstdint>

#include "agent/jobs/restore_job.h"
#include "agent/os/status.h"

namespace cryopod::restore {

// Are the processes of a restored container the ones of the checkpoint? Its init process must live
// in the container's cgroup, stopped, and the cgroup must hold exactly `tasks` threads (0: not
// recorded). Fills start_time_ticks and, from the process, cgroup_dir. Errors: kFailedPrecondition,
// kNotFound.
Status VerifyRestored(jobs::ContainerReport& container, uint32_t tasks);

// Is it still the same process? Errors: kFailedPrecondition.
Status VerifyAlive(const jobs::ContainerReport& container);

}  // namespace cryopod::restore
