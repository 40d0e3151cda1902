#pragma once

#include <string>
#include <vector>

#include "agent/os/cgroup.h"
#include "agent/os/proc.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// One process of a container, read once for all that is asked about it: a pod may hold thousands of
// descriptors.
struct SeenProcess {
  struct Link {
    std::string name;  // in its directory of /proc: "cwd", "root", "exe", "fd/7"
    std::string target;
  };
  ProcessInfo info;
  std::vector<Link> links;
};

// Errors: kNotFound when it has ended.
Result<SeenProcess> LookAtProcess(pid_t pid);
// Those that have ended meanwhile are left out.
Result<std::vector<SeenProcess>> LookAtProcesses(const Cgroup& cgroup);

}  // namespace cryopod::checkpoint
