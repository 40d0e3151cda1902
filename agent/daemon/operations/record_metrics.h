#pragma once

#include <chrono>

#include "agent/daemon/pods/restore_pod.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/os/status.h"
#include "metrics/agent_metrics.h"

namespace cryopod::daemon {

// What an operation's end says to the metrics.
void RecordCheckpoint(metrics::AgentMetrics& metrics, const jobs::JobResult& result,
                      std::chrono::nanoseconds duration);
void RecordRestore(metrics::AgentMetrics& metrics, const Result<RestoreReport>& restored,
                   std::chrono::nanoseconds duration);
// One that was refused before it ran.
void RecordRefusal(metrics::AgentMetrics& metrics, metrics::Operation operation,
                   const Status& refusal);

}  // namespace cryopod::daemon
