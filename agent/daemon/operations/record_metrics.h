#pragma once

#include <chrono>

#include "agent/daemon/operations/operation.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/os/status.h"
#include "metrics/agent_metrics.h"

namespace cryopod::daemon {

// What an operation's end says to the metrics.
void RecordCheckpoint(metrics::AgentMetrics& metrics, const jobs::CheckpointResult& result,
                      std::chrono::nanoseconds duration);
void RecordRestore(metrics::AgentMetrics& metrics, const Outcome& restored,
                   std::chrono::nanoseconds duration);
// One that was refused before it ran, if it was.
void RecordRefusal(metrics::AgentMetrics& metrics, metrics::Operation operation,
                   const Status& refusal);

}  // namespace cryopod::daemon
