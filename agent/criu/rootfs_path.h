#pragma once

#include <string>

#include "agent/criu/container_state.h"

namespace cryopod::criu {

// Resolves `path` inside `rootfs` the way the container would, symlinks and "..", never leaving
// it: "/var/run/secrets" → "/run/secrets". Components that do not exist are kept.
std::string ResolveInRootfs(const std::string& rootfs, const std::string& path);

// Where a mount of the container stands in mountinfo, whose destination may be told with the root
// file system before it.
std::string MountPointOf(const ContainerState& state, const OciMount& mount);

}  // namespace cryopod::criu
