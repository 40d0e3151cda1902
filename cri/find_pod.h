#pragma once

#include <string>
#include <vector>

#include "agent/os/status.h"
#include "cri/pod_sandbox.h"

namespace cryopod::cri {

// The sandbox that `pod` means: NAMESPACE/POD, or a unique prefix of a sandbox ID. Of several
// sandboxes of one name the ready one, then the highest attempt, then the youngest; a sandbox that
// is not ready is returned when there is no other.
// Errors: kNotFound, kInvalidArgument (no name at all, or ambiguous: lists the candidates).
Result<PodSandbox> ChoosePod(const std::vector<PodSandbox>& sandboxes, const std::string& pod);

}  // namespace cryopod::cri
