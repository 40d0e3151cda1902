#pragma once

#include <string>
#include <vector>

#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod {

// The cgroup of an operation is one of our own, beside everybody else's: "cryopod/<name>" in every
// v1 hierarchy that is mounted, and in the unified one, so that no limit or kill of the agent's own
// cgroup reaches what runs in it.

// Makes it, or takes the one that exists. Its directories, for SpawnOptions::cgroup_dir_fds.
Result<std::vector<UniqueFd>> MakeOperationCgroup(const std::string& name);
// Kills what is left in it and removes it; absent is success.
Status RemoveOperationCgroup(const std::string& name, Deadline deadline);

}  // namespace cryopod
