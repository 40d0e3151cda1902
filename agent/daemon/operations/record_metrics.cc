#include "agent/daemon/operations/record_metrics.h"

namespace cryopod::daemon {
namespace {

using std::chrono::microseconds;

// "restore app" → "restore": a container's name would be a label without bound.
std::string StageOf(const std::string& phase) { return phase.substr(0, phase.find(' ')); }

}  // namespace

void RecordCheckpoint(metrics::AgentMetrics& metrics, const jobs::CheckpointResult& result,
                      std::chrono::nanoseconds duration) {
  for (const archive::PhaseTiming& phase : result.phases) {
    metrics.ObservePhase(metrics::Operation::kCheckpoint, StageOf(phase.name),
                         microseconds(phase.duration_us));
  }
  if (result.freeze_us > 0) metrics.ObserveFreeze(microseconds(result.freeze_us));
  for (const criu::DumpStats& dump : result.dumps) {
    metrics.ObserveDumpPhase(metrics::DumpPhase::kFreezing, microseconds(dump.freezing_us));
    metrics.ObserveDumpPhase(metrics::DumpPhase::kFrozen, microseconds(dump.frozen_us));
    metrics.ObserveDumpPhase(metrics::DumpPhase::kMemdump, microseconds(dump.memdump_us));
    metrics.ObserveDumpPhase(metrics::DumpPhase::kMemwrite, microseconds(dump.memwrite_us));
  }
  // A source that could not be removed leaves an archive all the same.
  if (!result.digest.empty()) metrics.ObserveArchive(result.captured_bytes, result.size_bytes);
  // Last: whoever sees the operation counted sees all that belongs to it.
  metrics.EndOperation(metrics::Operation::kCheckpoint, result.status, duration);
}

void RecordRestore(metrics::AgentMetrics& metrics, const Outcome& restored,
                   std::chrono::nanoseconds duration) {
  for (const archive::PhaseTiming& phase : restored.restore.phases) {
    metrics.ObservePhase(metrics::Operation::kRestore, StageOf(phase.name),
                         microseconds(phase.duration_us));
  }
  metrics.EndOperation(metrics::Operation::kRestore, restored.status, duration);
}

void RecordRefusal(metrics::AgentMetrics& metrics, metrics::Operation operation,
                   const Status& refusal) {
  if (refusal.ok()) return;
  metrics.BeginOperation(operation);
  metrics.EndOperation(operation, refusal, microseconds(0));
}

}  // namespace cryopod::daemon
