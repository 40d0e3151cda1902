#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "agent/criu/container_state.h"
#include "agent/os/proc.h"
#include "agent/os/status.h"

namespace cryopod::criu {

// The options of one dump, free of descriptors. Source: CRIU images/rpc.proto (criu_opts).
struct DumpOptions {
  pid_t pid = 0;
  std::string root;                                                  // rootfs on the node
  std::string freeze_cgroup;                                         // directory of the leaf cgroup
  std::vector<std::string> externals;                                // "net[4026532]:extRootNetNS"
  std::vector<std::pair<std::string, std::string>> external_mounts;  // mount point → key
  // Where CRIU looks for what an inotify watch is on when the file system cannot tell (overlay).
  std::vector<std::string> watched_paths;
};

// Pure: what runc would give CRIU for this container, with destinations resolved inside the root
// file system by `resolve` (destination → path that mountinfo shows). `namespace_inodes` holds the
// inodes behind state.namespace_paths.
//
// Refuses, naming each: an entry of `mounts` that is neither declared external nor one that the
// runtime is known to make (root, proc, dev, devpts, mqueue, sysfs, cgroup, tmpfs declared in the
// spec, masked and read-only paths), a mount of a type that CRIU would dump as content although it
// came from outside. Errors: kFailedPrecondition.
Result<DumpOptions> BuildDumpOptions(const ContainerState& state,
                                     const std::vector<MountEntry>& mounts,
                                     const std::string& freeze_cgroup);

// Resolves `path` inside `rootfs` the way the container would, symlinks and "..", never leaving
// it: "/var/run/secrets" → "/run/secrets". Components that do not exist are kept.
std::string ResolveInRootfs(const std::string& rootfs, const std::string& path);

// Where a mount of the container stands in mountinfo, whose destination may be told with the root
// file system before it.
std::string MountPointOf(const ContainerState& state, const RuntimeMount& mount);

// The content of descriptors.json beside the CRIU images, which runc's restore reads.
std::string DescriptorsJson(const ContainerState& state);

}  // namespace cryopod::criu
