#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "agent/daemon/operations/describe_checkpoint.h"
#include "agent/daemon/operations/operation_register.h"
#include "agent/jobs/process_identity.h"
#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"
#include "cri/runtime_client.h"
#include "metrics/agent_metrics.h"

namespace cryopod::daemon {

// Starts cryopod-checkpoint processes, follows them to their end, and finishes what only CRI can:
// removing a source that was stopped. A process outlives the agent; the next agent adopts it.
//
// Threads  any. One follower thread an operation.
class CheckpointOperations {
 public:
  CheckpointOperations(const settings::AgentSettings& config, cri::RuntimeClient& runtime,
                       OperationRegister& operations, metrics::AgentMetrics& metrics);
  // Stops following; the processes go on, and what waits for one (a repair, the removal of a
  // source) is left to the next agent. Lasts as long as one call of the runtime that is under way.
  ~CheckpointOperations();

  // With the ID of an operation that is known already: that one. Errors: kNotFound (no such pod),
  // kFailedPrecondition (it does not run), kAborted (another operation runs on it), kAlreadyExists
  // (the archive's name, or the ID). Each is counted as a failed checkpoint.
  Result<std::shared_ptr<Operation>> Start(const CheckpointOptions& options);

  // At start-up, before anything is served: thaws what a dead operation left at once; adopts a
  // living one, repairs a dead one in the background. A job that is not understood is left alone.
  void AdoptOrRepair(const std::string& operation_id);

 private:
  Result<std::shared_ptr<Operation>> TryStart(const CheckpointOptions& options);
  void WaitForRestore(const std::string& pod_key) const;
  Status Launch(const CheckpointOptions& options, const cri::PodSandbox& pod, Deadline patience,
                const std::shared_ptr<Operation>& operation);
  void Follow(const std::stop_token& stop, const std::shared_ptr<Operation>& operation,
              const jobs::CheckpointJob& job, const jobs::JobProcess& process);
  // kCancelled: `stop` was requested before it was done; the next agent does it. Not understood:
  // nobody but the job's own program may touch what is left.
  Result<jobs::CheckpointResult> CollectResult(const std::stop_token& stop,
                                               const Operation& operation,
                                               const std::string& job_dir) const;
  Status RemoveSource(const std::stop_token& stop, const std::string& sandbox_id);
  void RemoveJob(const OperationFacts& facts) const;
  void RemoveLeftovers() const;
  void Finish(const std::stop_token& stop, const std::shared_ptr<Operation>& operation,
              const jobs::CheckpointJob& job);
  void StartFollower(const std::shared_ptr<Operation>& operation, const jobs::CheckpointJob& job,
                     jobs::JobProcess process);

  const settings::AgentSettings& config_;
  cri::RuntimeClient& runtime_;
  OperationRegister& operations_;
  metrics::AgentMetrics& metrics_;
  struct Follower;
  std::mutex mutex_;  // guards followers_
  std::list<std::unique_ptr<Follower>> followers_;
};

}  // namespace cryopod::daemon
