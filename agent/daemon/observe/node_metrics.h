#pragma once

#include <chrono>
#include <cstdint>
#include <future>
#include <mutex>
#include <optional>
#include <string>

#include "agent/api/types.h"
#include "agent/daemon/archives/archive_census.h"
#include "agent/daemon/operations/agent_parts.h"
#include "agent/os/deadline.h"

namespace cryopod::daemon {

// Asks CRIU, the container runtime and the kernel, as node::LookAtNode.
api::NodeInfo ReadNodeInfo(const AgentParts& agent);

struct FrozenPods {
  uint64_t pods = 0;
  std::chrono::nanoseconds longest{0};  // since the first of them was frozen
};

// The pods that stand still now for a checkpoint: in the freeze, held until their archive is
// committed, or left by an operation that died. While CRIU works the kernel calls a cgroup thawed
// whose tasks CRIU holds, so a living operation's own word counts, and the kernel's where there is
// none.
FrozenPods CountFrozenPods(const AgentParts& agent);

// The text of a scrape: what was counted, and what is true of the node at this moment.
//
// Threads  any; one scrape at a time, others wait for it. What takes long to find out, as when the
//          runtime hangs, is found out by a thread of its own, so that a scrape is answered in
//          time.
class NodeMetrics {
 public:
  explicit NodeMetrics(const AgentParts& agent)
      : agent_(agent), census_(agent.config.store_root()) {}
  std::string Collect();

 private:
  void DescribeNode();

  const AgentParts agent_;
  std::mutex mutex_;  // guards everything below
  ArchiveCensus census_;
  std::future<api::NodeInfo> asked_;
  std::optional<Deadline> described_until_;
};

}  // namespace cryopod::daemon
