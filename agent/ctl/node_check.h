#pragma once

#include <string>
#include <vector>

#include "agent/api/client.h"
#include "agent/api/requirement.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::ctl {

// Where an agent that does not answer would be configured.
struct NodeCheckOptions {
  std::string socket;
  std::string config_file;
};

// Every requirement of this node: as the agent sees them or, when it does not answer, as far as
// they can be seen without it; the agent itself is then lacking. Errors: kPermissionDenied (the
// agent does not answer, and we are not root).
Result<std::vector<api::Requirement>> CheckNode(api::Client& client,
                                                const NodeCheckOptions& options, Deadline deadline);

bool AnyLacking(const std::vector<api::Requirement>& requirements);

// A list of {"requirement", "ok" (null: cannot be seen), "found", "reason", "remedy"}.
std::string ToJson(const std::vector<api::Requirement>& requirements);
// A table, and then reason and remedy of what is lacking.
std::string ToText(const std::vector<api::Requirement>& requirements);

}  // namespace cryopod::ctl
