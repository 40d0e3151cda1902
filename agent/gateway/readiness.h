#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/gateway/agent_watch.h"

namespace cryopod::gateway {

// One thing that must be so before this node can checkpoint and restore.
struct Check {
  std::string name;     // "agent", "runtime", "criu", "node"
  std::string problem;  // empty: it is so
};

struct Readiness {
  std::vector<Check> checks;
  double age_seconds = -1;  // of the agent's last answer; negative: there is none

  bool ready() const;
};

// What is said of a node whose agent is away is what was last known of it, beside the agent's
// own check, which fails.
Readiness JudgeReadiness(const NodeState& state, Deadline::Clock::time_point now);

// One line a check, then the age.
std::string ReadinessText(const Readiness& readiness);
// {"ready":false,"checks":[{"name":"criu","ok":false,"problem":"…"},…],"age_seconds":3.2}
std::string ReadinessJson(const Readiness& readiness);

}  // namespace cryopod::gateway
