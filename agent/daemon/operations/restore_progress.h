#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "agent/daemon/operations/operation.h"
#include "agent/jobs/restore_job.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "metrics/agent_metrics.h"

namespace cryopod::daemon {

// How far one pod's restore is, by the report of its cryopod-restore: for the operation, and for
// the metrics. The pod's containers are asked for one after another, and what has failed is asked
// for again, so the metrics count every failure, and the success once.
//
// Threads  one at a time.
class RestoreProgress {
 public:
  RestoreProgress(metrics::AgentMetrics& metrics, std::shared_ptr<Operation> operation,
                  std::string job_dir)
      : metrics_(metrics), operation_(std::move(operation)), job_dir_(std::move(job_dir)) {}

  const std::shared_ptr<Operation>& operation() const { return operation_; }

  // The runtime asks for the pod or one of its containers.
  void Begin();
  // Reads how far it is; cheap when nothing has changed.
  void Look();
  // Its process has ended; the last word is what it has written.
  Status End();

 private:
  void ReportStage(const jobs::Report& report);
  void CountFailure(const jobs::Report& report);
  void Count(const Status& outcome);

  metrics::AgentMetrics& metrics_;
  const std::shared_ptr<Operation> operation_;
  const std::string job_dir_;
  std::optional<Deadline::Clock::time_point> began_;
  std::filesystem::file_time_type seen_;  // when the report was written that was read last
  std::string last_failure_;              // which one was counted last
};

// Why the restore for `restore_operation` has failed, in one word: of its node and archive, else of
// its first container that failed. kNone when nothing did, or there is no such job.
Reason ReasonOfRestore(const std::string& jobs_dir, const std::string& restore_operation);

}  // namespace cryopod::daemon
