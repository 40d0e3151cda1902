#pragma once

#include <string>

#include "agent/jobs/restore_job.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::restore {

// One run of the OCI runtime's restore over one container. The wrapper runs it; here is what has
// to stand before, and what has to be judged and mended after it.

// Makes the directory of attempt number `attempt` and the options file for CRIU: the processes stay
// stopped, TCP connections of the source are closed.
Result<wrapper::Plan> PrepareAttempt(const std::string& job_dir, const std::string& operation_id,
                                     const std::string& images_dir, const std::string& container,
                                     int attempt);

// CRIU writes the source's host name into the UTS namespace that the pod shares. Remembers the
// pod's own in `container`, when it has such a namespace.
Status RememberHostname(const wrapper::Request& request, jobs::ContainerReport& container,
                        Deadline deadline);
Status PutHostnameBack(const jobs::ContainerReport& container, Deadline deadline);

// Why a restore failed: CRIU's own words where its log in `work_dir` has some, else the runtime's.
Status ReasonOf(const wrapper::Outcome& outcome, const std::string& work_dir);

}  // namespace cryopod::restore
