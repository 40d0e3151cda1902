#pragma once

#include <chrono>

#include "agent/checkpoint/job.h"
#include "agent/os/status.h"
#include "agent/restore_pod.h"
#include "metrics/agent_metrics.h"

namespace cryopod::agent {

// What an operation's end says to the metrics.
void RecordCheckpoint(metrics::AgentMetrics& metrics, const checkpoint::JobResult& result,
                      std::chrono::nanoseconds duration);
void RecordRestore(metrics::AgentMetrics& metrics, const Result<RestoreReport>& restored,
                   std::chrono::nanoseconds duration);
// One that was refused before it ran.
void RecordRefusal(metrics::AgentMetrics& metrics, metrics::Operation operation,
                   const Status& refusal);

}  // namespace cryopod::agent
