#pragma once

#include <chrono>
#include <cstdint>

#include "agent/daemon/operations/agent_parts.h"

namespace cryopod::daemon {

struct FrozenPods {
  uint64_t pods = 0;
  std::chrono::nanoseconds longest{0};  // since the first of them was frozen
};

// The pods that stand still now for a checkpoint: in the freeze, held until their archive is
// committed, or left by an operation that died. While CRIU works the kernel calls a cgroup thawed
// whose tasks CRIU holds, so a living operation's own word counts, and the kernel's where there is
// none.
FrozenPods CountFrozenPods(const AgentParts& agent);

}  // namespace cryopod::daemon
