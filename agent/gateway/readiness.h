#pragma once

#include <string>

#include "agent/gateway/agent_watch.h"

namespace cryopod::gateway {

// Whether this node can checkpoint and restore, by the checks "agent", "runtime", "criu", "node".
struct Readiness {
  bool ready = false;
  // One line a check, then the age of the agent's last answer.
  std::string text;
  // {"ready":false,"checks":[{"name":"criu","ok":false,"problem":"…"},…],"age_seconds":3.2}; the
  // age is null when there was no answer.
  std::string json;
};

// What is said of a node whose agent is away is what was last known of it, beside the agent's
// own check, which fails.
Readiness JudgeReadiness(const NodeState& state, Deadline::Clock::time_point now);

}  // namespace cryopod::gateway
