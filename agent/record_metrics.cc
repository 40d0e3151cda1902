#include "agent/record_metrics.h"

#include "agent/archive/archive_store.h"

namespace cryopod::agent {
namespace {

using std::chrono::microseconds;

// "restore app" → "restore": a container's name would be a label without bound.
std::string StageOf(const std::string& phase) { return phase.substr(0, phase.find(' ')); }

}  // namespace

void RecordCheckpoint(metrics::AgentMetrics& metrics, const checkpoint::JobResult& result,
                      std::chrono::nanoseconds duration) {
  metrics.EndOperation(metrics::Operation::kCheckpoint, result.status, duration);
  for (const archive::PhaseTiming& phase : result.phases) {
    metrics.ObservePhase(metrics::Operation::kCheckpoint, StageOf(phase.name),
                         microseconds(phase.duration_us));
  }
  if (result.freeze_us > 0) metrics.ObserveFreeze(microseconds(result.freeze_us));
  if (result.status.ok()) metrics.ObserveArchiveSize(result.size_bytes);
}

void RecordRestore(metrics::AgentMetrics& metrics, const Result<RestoreReport>& restored,
                   std::chrono::nanoseconds duration) {
  metrics.EndOperation(metrics::Operation::kRestore, restored.status(), duration);
  if (!restored.ok()) return;
  for (const archive::PhaseTiming& phase : restored->phases) {
    metrics.ObservePhase(metrics::Operation::kRestore, StageOf(phase.name),
                         microseconds(phase.duration_us));
  }
}

void RecordArchives(metrics::AgentMetrics& metrics, const Config& config) {
  const Result<archive::ArchiveStore> store = archive::ArchiveStore::Open(config.store_root());
  if (!store.ok()) return;
  const Result<std::vector<std::string>> names = store->List();
  if (!names.ok()) return;
  uint64_t size_bytes = 0;
  for (const std::string& name : *names) {
    const Result<archive::Archive> archive = store->OpenArchive({name, ""});
    if (archive.ok()) size_bytes += archive->size_bytes();
  }
  metrics.SetArchives(names->size(), size_bytes);
}

}  // namespace cryopod::agent
