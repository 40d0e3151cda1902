#pragma once

#include <string>

#include "agent/os/status.h"

namespace cryopod::ctl {

// Manifests of share/cryopod name this folder; an installation may lie anywhere.
inline constexpr char kUsualPrefix[] = "/opt/cryopod";

// Whether a prefix can stand in a unit, in a containerd configuration and in a search path:
// printable ASCII without " \ % $ and ":". Blanks are welcome. Errors: kInvalidArgument.
Status CheckPrefix(const std::string& prefix);

// manifests/containerd/cryopod.toml for a node: its BinaryName in `prefix`, SystemdCgroup set where
// the node's own runtime has it. Errors: kInternal (the manifest has not the lines to change).
Result<std::string> DropInFor(const std::string& manifest, const std::string& prefix,
                              bool systemd_cgroup);

// A unit of manifests/systemd with its program in `prefix`. Errors: kInternal.
Result<std::string> UnitFor(const std::string& manifest, const std::string& prefix);

}  // namespace cryopod::ctl
