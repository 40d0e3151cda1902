#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "agent/criu/container_state.h"
#include "agent/os/mount_info.h"
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
  // Mounts that nobody declared, a sentence each: with any of them the container must not be
  // dumped.
  std::vector<std::string> strangers;
};

// What runc would give CRIU for this container, whose mountinfo holds `mounts`. A stranger is an
// entry that is neither declared external nor one that the OCI runtime is known to make (root,
// proc, dev, devpts, mqueue, sysfs, cgroup, tmpfs declared in the spec, masked and read-only
// paths), or one of a type that CRIU would dump as content although it came from outside. Errors:
// kNotFound when the container's first process has ended.
Result<DumpOptions> BuildDumpOptions(const ContainerState& state,
                                     const std::vector<MountEntry>& mounts,
                                     const std::string& freeze_cgroup);

// The content of descriptors.json beside the CRIU images, which runc's restore reads.
std::string DescriptorsJson(const ContainerState& state);

}  // namespace cryopod::criu
