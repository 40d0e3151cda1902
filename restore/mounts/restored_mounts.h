#pragma once

#include <string>

#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "restore/mounts/live_mounts.h"

// CRIU mounts what an archive's images say, with their flags, so whoever wrote the archive has
// chosen them. What came of it is checked here, before anything of the container runs.
namespace cryopod::restore {

// Both rules of restore/mounts/mount_rules.h, for every mount namespace that the tasks of the
// cgroup are in; and what each task holds is on its mounts: root, working directory, program, open
// files and mappings. CRIU opens a file in the namespace that the images name, which may be gone by
// now. The tasks are stopped and have not run.
Status CheckRestoredMounts(const LiveMounts& live, const std::string& cgroup_dir,
                           Deadline deadline);

}  // namespace cryopod::restore
