#pragma once

#include <string>
#include <string_view>

#include "agent/os/status.h"

namespace cryopod::restore {

// Path inside a hierarchy of a cgroup that config.json names: "/kubepods/pod1/abc" stands for
// itself, "kubepods-pod1.slice:cri-containerd:abc" for systemd's
// "/kubepods.slice/kubepods-pod1.slice/cri-containerd-abc.scope". Pure.
//
// Source  OCI runtime-spec config-linux.md (cgroupsPath); systemd.slice(5); runc,
//         libcontainer/cgroups/systemd/common.go (ExpandSlice).
// Errors  kInvalidArgument: relative, empty, the root, or with "..".
Result<std::string> CgroupPathOf(std::string_view cgroups_path);

// The directory on this node: below version 1's freezer where that is mounted, else below the
// unified hierarchy. It need not exist yet. Errors: as above; kFailedPrecondition (no hierarchy).
Result<std::string> CgroupDirectoryOf(const std::string& cgroups_path);

}  // namespace cryopod::restore
