#pragma once

#include <string>
#include <vector>

#include "agent/api/client.h"
#include "agent/api/requirement.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::ctl {

// Every requirement of this node: as the agent sees them or, when it does not answer at `socket`,
// as far as they can be seen without it with the configuration that it would have; the agent itself
// is then lacking. Errors: kPermissionDenied (the agent does not answer, and we are not root).
Result<std::vector<api::Requirement>> CheckNode(api::Client& client, const std::string& socket,
                                                const std::string& config_file, Deadline deadline);

}  // namespace cryopod::ctl
