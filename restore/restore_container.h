#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/jobs/restore_job.h"
#include "agent/os/deadline.h"
#include "agent/os/record_locks.h"
#include "agent/os/status.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::restore {

// One run of the OCI runtime's restore over one container. The wrapper runs it; here is what has
// to stand before, and what has to be judged and mended after it.

// Makes the directory of attempt number `attempt` and the options file for CRIU: the processes stay
// stopped (SIGSTOP), TCP connections of the source are closed.
Result<wrapper::Plan> PrepareAttempt(const std::string& job_dir, const std::string& images_dir,
                                     const std::string& container, int attempt);

// The same for a CRIU that has the plugin in the folder of `library` (agent/criu/plugin), which
// then holds what is restored in its frozen cgroup, where the runtime lets it. `locks` are set
// again where CRIU loses them.
Status PrepareHold(const std::string& library, const std::string& cgroup_dir,
                   const std::vector<RecordLock>& locks, wrapper::Plan& plan);

// Are the processes of a restored container the ones of the checkpoint? Its init process must live
// in the container's cgroup; that must be frozen, or it stopped; and the cgroup must hold exactly
// `tasks` threads (0: not recorded). Fills start_time_ticks, frozen and, from the process,
// cgroup_dir. Errors: kFailedPrecondition, kNotFound, kDeadlineExceeded (it does not freeze).
Status VerifyRestored(jobs::ContainerReport& container, uint32_t tasks);

// Is it still the same process? Errors: kFailedPrecondition.
Status VerifyAlive(const jobs::ContainerReport& container);

// CRIU writes the source's host name into the UTS namespace that the pod shares. Remembers the
// pod's own in `container`, when it has such a namespace.
Status RememberHostname(const wrapper::Request& request, jobs::ContainerReport& container,
                        Deadline deadline);
Status PutHostnameBack(const jobs::ContainerReport& container, Deadline deadline);

// Ends what a failed or abandoned restore of one container left: every process in its cgroup, the
// foreign host name in the pod's UTS namespace, and the mounts of a runtime that was killed. The
// first error is returned, and the rest is done all the same.
Status EndRestore(const jobs::ContainerReport& container, Deadline deadline);

// Why a restore failed: the words of the launcher or the plugin, else CRIU's own where its log in
// `work_dir` has some, else the runtime's.
Status ReasonOf(const wrapper::Outcome& outcome, const std::string& work_dir);

}  // namespace cryopod::restore
