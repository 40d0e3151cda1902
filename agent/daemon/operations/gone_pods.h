#pragma once

#include <chrono>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "agent/daemon/operations/agent_parts.h"
#include "agent/daemon/operations/restore_operations.h"
#include "agent/os/deadline.h"

namespace cryopod::daemon {

// Ends with a pod what is kept of it here: a restore that waits for its next container, and the
// records that it was restored.
//
// A pod is there as long as the runtime has a sandbox of its UID or the kubelet a directory. It is
// gone when neither has been seen for a while: between two sandboxes there may be none, and a
// record that goes too early lets a pod be restored twice. So an answer that does not come is none.
//
// Threads  one.
class GonePods {
 public:
  GonePods(const AgentParts& agent, RestoreOperations& restores,
           std::string kubelet_pods = "/var/lib/kubelet/pods")
      : agent_(agent), restores_(restores), kubelet_pods_(std::move(kubelet_pods)) {}

  // A restore costs only its staging memory, and its next container begins another.
  static constexpr std::chrono::seconds kRestoreTimeout{30};
  static constexpr std::chrono::hours kRecordTimeout{1};

  // Looks for all pods of which anything is kept, and ends what has been gone for long at `now`.
  void Look(Deadline::Clock::time_point now);

 private:
  void End(const std::string& pod_uid, std::chrono::nanoseconds gone_for);

  const AgentParts agent_;
  RestoreOperations& restores_;
  const std::string kubelet_pods_;
  std::map<std::string, Deadline::Clock::time_point> gone_since_;  // by pod UID
};

// Looks again and again until the thread is asked to stop.
std::jthread WatchGonePods(const AgentParts& agent, RestoreOperations& restores);

}  // namespace cryopod::daemon
