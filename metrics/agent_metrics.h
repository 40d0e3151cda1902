#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "agent/os/status.h"

namespace cryopod::metrics {

enum class Operation { kCheckpoint, kRestore };

// A label's values are kept for the life of the process: a phase beyond so many different names is
// counted as "other".
inline constexpr size_t kPhaseNamesMax = 32;

// Every number that the agent counts.
//
// Source   KEP-5823, section "SLIs": kubelet_pod_checkpoint_operations_total and its siblings, here
//          with the prefix cryopod_. No label names a pod, an archive or a container.
// Threads  any.
class AgentMetrics {
 public:
  AgentMetrics();
  ~AgentMetrics();

  // Each begin is followed by exactly one end; `outcome` is the operation's final status.
  void BeginOperation(Operation operation);
  void EndOperation(Operation operation, const Status& outcome, std::chrono::nanoseconds duration);

  // How long the application stood still.
  void ObserveFreeze(std::chrono::nanoseconds duration);
  // Size of a committed archive.
  void ObserveArchiveSize(uint64_t size_bytes);
  // `phase` is a stage's name out of our own code ([a-z0-9_], at most 32 bytes); others are
  // "other".
  void ObservePhase(Operation operation, const std::string& phase,
                    std::chrono::nanoseconds duration);
  // What the store holds now.
  void SetArchives(uint64_t count, uint64_t size_bytes);

  // Prometheus text format, version 0.0.4.
  std::string Serialize() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace cryopod::metrics
