#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/os/status.h"

// Every number that the agent counts.
//
//   family (prefix "cryopod_")                        type       labels
//   pod_checkpoint_operations_total                   counter    result = success, failure
//   pod_restore_operations_total                      counter    result
//   pod_cold_starts_total                             counter    reason, of pods that were to be
//                                                                restored and may start cold
//   runtime_operations_errors_total                   counter    operation_type, reason
//   pod_checkpoint_duration_seconds                   histogram                      of successes
//   pod_restore_duration_seconds                      histogram                      of successes
//   pod_checkpoint_phase_duration_seconds             histogram  phase
//   pod_restore_phase_duration_seconds                histogram  phase
//   container_dump_phase_duration_seconds             histogram  phase = freezing, frozen, memdump,
//                                                                memwrite (CRIU's own figures)
//   pod_checkpoint_freeze_seconds                     histogram     the application stood still,
//                                                                in all tries together
//   pod_checkpoint_captured_bytes                     histogram     before compression
//   pod_checkpoint_size_bytes                         histogram     the archive, compressed
//   operations_running                                gauge      operation_type
//   last_success_timestamp_seconds                    gauge      operation_type    0: none since
//                                                                              the agent started
//   pods_frozen                                       gauge         pods that stand still now
//   pods_frozen_longest_seconds                       gauge         for how long the first of them
//   archives                                          gauge      namespace
//   archives_bytes                                    gauge      namespace
//   archives_damaged                                  gauge         they cannot be read
//   store_free_bytes                                  gauge         of the archives' file system
//   store_size_bytes                                  gauge
//   node_problems                                     gauge         reasons why the node cannot
//                                                                   checkpoint or restore
//   build_info, node_info, criu_info, runtime_info    gauge, 1   version; kernel, architecture,
//                                                                cgroup; version; name, version
//
// operation_type is checkpoint_pod or restore_pod. reason is a word of agent/os/reason.h; phase a
// stage's name of our own. The namespaces that hold the most bytes are told by name, at most
// kNamespacesMax; the others together are "_other", which no namespace can be called. No label
// names a pod, an archive or a container, so the series of a node are bounded.
//
// Source   KEP-5823, section "SLIs": kubelet_pod_checkpoint_operations_total and its siblings, here
//          with the prefix cryopod_.
namespace cryopod::metrics {

enum class Operation { kCheckpoint, kRestore };

// Of one container's dump, by CRIU's own clock (its images/stats.proto).
enum class DumpPhase { kFreezing, kFrozen, kMemdump, kMemwrite };

// A label's values are kept for the life of the process: a phase beyond so many different names is
// counted as "other".
inline constexpr size_t kPhaseNamesMax = 32;
inline constexpr size_t kNamespacesMax = 50;
// Of what other programs say of themselves.
inline constexpr size_t kInfoBytesMax = 64;

// What the archive store holds now.
struct NamespaceUsage {
  std::string name;  // one entry a namespace
  uint64_t archives = 0;
  uint64_t size_bytes = 0;
};
struct StoreUsage {
  std::vector<NamespaceUsage> namespaces;  // in any order
  uint64_t damaged = 0;
  uint64_t free_bytes = 0;  // of the file system
  uint64_t file_system_bytes = 0;
};

// Empty fields are unknown.
struct NodeDescription {
  std::string agent_version;
  std::string criu_version;
  std::string runtime_name;
  std::string runtime_version;
  std::string kernel;
  std::string architecture;
  std::string cgroup_version;
  size_t problems = 0;
};

// The families above.
//
// Threads  any.
class AgentMetrics {
 public:
  AgentMetrics();
  ~AgentMetrics();

  // Each begin is followed by exactly one end; `outcome` is the operation's final status.
  void BeginOperation(Operation operation);
  void EndOperation(Operation operation, const Status& outcome, std::chrono::nanoseconds duration);

  // A pod starts cold in place of a restore that was refused with this reason.
  void CountColdStart(Reason reason);

  // How long the application stood still.
  void ObserveFreeze(std::chrono::nanoseconds duration);
  // A committed archive, before and after compression.
  void ObserveArchive(uint64_t captured_bytes, uint64_t size_bytes);
  // `phase` is a stage's name out of our own code ([a-z0-9_], at most 32 bytes); others are
  // "other".
  void ObservePhase(Operation operation, const std::string& phase,
                    std::chrono::nanoseconds duration);
  void ObserveDumpPhase(DumpPhase phase, std::chrono::nanoseconds duration);

  // These replace what was set before.
  void SetStore(const StoreUsage& usage);
  void SetFrozen(uint64_t pods, std::chrono::nanoseconds longest);
  // Jobs of another version, which are left alone.
  void SetForeignJobs(uint64_t jobs);
  void SetNode(const NodeDescription& node);

  // Prometheus text format, version 0.0.4.
  std::string Serialize() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace cryopod::metrics
