#pragma once

#include <set>
#include <string>

#include "agent/os/cgroup.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// Files of the container's root file system, relative to it, that some process of the cgroup has
// mapped shared and writable: it may change them by a store that moves no time.
Result<std::set<std::string>> SharedWritableFiles(const Cgroup& cgroup);

}  // namespace cryopod::checkpoint
