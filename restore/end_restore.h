#pragma once

#include "agent/jobs/restore_job.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::restore {

// Ends what a failed or abandoned restore of one container left: every process in its cgroup, the
// foreign host name in the pod's UTS namespace, and the mounts of a runtime that was killed. The
// first error is returned, and the rest is done all the same.
Status EndRestore(const jobs::ContainerReport& container, Deadline deadline);

}  // namespace cryopod::restore
