#pragma once

#include <set>
#include <string>
#include <vector>

#include "agent/os/deadline.h"
#include "agent/os/mount_info.h"
#include "agent/os/status.h"
#include "restore/mounts/live_mounts.h"
#include "restore/mounts/mount_view.h"

// What must be mounted in a restored container, and what may be: CRIU mounts what an archive's
// images say, with their flags, so whoever wrote the archive has chosen them. What came of it is
// checked here, before anything of the container runs.
//
// Errors of all of them: kPermissionDenied, names the mount point, what the live request asks for
// there and what is there.
namespace cryopod::restore {

// What the live request's mounts lead to, as this node sees it.
struct NodeSide {
  FileId root;                  // of the live root file system
  std::vector<FileId> sources;  // one for each mount, only that of a bind mount counts
  // "8:1" of every file system that the node itself has mounted.
  std::set<std::string> devices;
};

// From inside the mount namespace: everything that a container of the live request has mounted is
// there, leads to the same place, and forbids at least as much. Of paths that are masked or
// read-only only those count that exist, as for the runtime.
Status CheckWhatIsAsked(const LiveMounts& live, const NodeSide& node, const MountView& view);

// No mount is there that a container runtime would not have made for the live request.
Status CheckNothingMore(const LiveMounts& live, const std::vector<MountEntry>& mounts);

// Both, for every mount namespace that the tasks of the cgroup are in; and what each task holds is
// on its mounts: root, working directory, program, open files and mappings. CRIU opens a file in
// the namespace that the images name, which may be gone by now. The tasks are stopped and have not
// run.
Status CheckRestoredMounts(const LiveMounts& live, const std::string& cgroup_dir,
                           Deadline deadline);

}  // namespace cryopod::restore
