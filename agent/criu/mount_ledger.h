#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agent/criu/container_state.h"
#include "agent/os/mount_info.h"

namespace cryopod::criu {

struct MountLedger {
  // Mount point → key of each mount that CRIU is to take as external.
  std::vector<std::pair<std::string, std::string>> externals;
  // Mount points in which CRIU looks for what is watched: small ones alone, for the pod stands
  // still meanwhile.
  std::vector<std::string> watched_paths;
  // A sentence for each mount that nobody declared; empty when the container can be dumped.
  std::vector<std::string> strangers;
  // The mounts that these sentences are about, in the same order.
  std::vector<MountEntry> strange_mounts;
};

// Sorts out every entry of the container's mountinfo. Each mount that a container may have because
// its runtime made it is accounted for once: a second mount over the same mount point is somebody
// else's, and CRIU would take it for the first.
//
// Source  runc 1.3, libcontainer/rootfs_linux.go (mounts, masked and read-only paths),
//         init_linux.go (console), criu_linux.go (what it declares external).
MountLedger AccountForMounts(const ContainerState& state, const std::vector<MountEntry>& mounts);

}  // namespace cryopod::criu
