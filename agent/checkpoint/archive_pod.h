#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/archive/store/archive_writer.h"
#include "agent/checkpoint/capture_pod.h"
#include "agent/checkpoint/prepare_dumps.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// Everything that Commit needs, already in the archive's blobs.
struct ArchivedPod {
  archive::PodCheckpoint checkpoint;
  archive::Descriptor pod_metadata;
  std::vector<archive::ContainerLayers> containers;
  uint64_t captured_bytes = 0;
};

// Called with done and total source bytes, from several threads, not more often than ten times a
// second.
using ArchiveProgress = std::function<void(uint64_t bytes_done, uint64_t bytes_total)>;

// Compresses and hashes what was captured. The pod runs meanwhile, or waits for its end.
Result<ArchivedPod> ArchivePod(const jobs::CheckpointJob& job, const ResolvedPod& pod,
                               const std::vector<PreparedDump>& dumps,
                               const std::vector<CapturedContainer>& captured,
                               archive::NodeFacts node, archive::ArchiveWriter& writer,
                               const ArchiveProgress& progress);

}  // namespace cryopod::checkpoint
