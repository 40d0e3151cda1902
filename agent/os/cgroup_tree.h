#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod {

// Calls `visit` with the directory of a cgroup and of each beneath it, parents first. One that
// vanishes meanwhile is passed over, also when `visit` says kNotFound of it; the top one is not.
Status VisitCgroups(int dir_fd, const std::function<Status(int dir_fd)>& visit);

// PIDs in "cgroup.procs" or "tasks" of this cgroup alone. Errors: kFailedPrecondition when one lies
// outside our PID namespace and so has no number; kUnimplemented in a threaded cgroup.
Result<std::vector<pid_t>> ReadCgroupPids(int dir_fd, const std::string& file);

// Removes the cgroup `name` and those beneath it, once they are empty. The kernel lets a task go
// from its cgroup a little after its end is seen, so a busy one is tried again. Absent is success.
Status RemoveCgroupAt(int parent_fd, const std::string& name, Deadline deadline);

}  // namespace cryopod
