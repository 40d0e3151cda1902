#pragma once

#include <string>

#include "agent/os/status.h"

namespace cryopod::ctl {

// Whether a prefix can stand in a unit, in a containerd configuration and in a search path:
// printable ASCII without " \ % $ and ":". Blanks are welcome. Errors: kInvalidArgument.
Status CheckPrefix(const std::string& prefix);

// A unit of share/cryopod, or the drop-in for containerd, with its program in `prefix` in place of
// /opt/cryopod; SystemdCgroup of the drop-in as the node's own runtime has it. Errors: kInternal
// (the manifest has not once what is to be changed).
Result<std::string> ManifestFor(const std::string& manifest, const std::string& prefix,
                                bool systemd_cgroup = false);

}  // namespace cryopod::ctl
