#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/archive/store/archive_writer.h"
#include "agent/checkpoint/prepare_dumps.h"
#include "agent/checkpoint/resolve_pod.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/job_events.h"
#include "agent/os/deadline.h"
#include "agent/os/machine.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// The archive's config blob as far as it is known before the freeze; of the pod's files it reads
// the bundles' configurations.
archive::PodCheckpoint DescribePod(const jobs::CheckpointJob& job, const ResolvedPod& pod,
                                   const Machine& machine, const std::string& criu_version);

// Files of a container's metadata layer that are made from words: config.dump, status, status.dump,
// spec.dump, container-config.json.
//
// Source  checkpointctl lib/metadata.go (ContainerConfig, ContainerdStatus).
std::map<std::string, std::string> ContainerMetadata(const jobs::RequestedContainer& container,
                                                     const std::string& spec_json,
                                                     const std::string& created);

// pod.dump and pod.options.
std::map<std::string, std::string> PodMetadata(const jobs::CheckpointJob& job);

// What Commit needs beside the description, already in the archive's blobs.
struct ArchivedPod {
  archive::Descriptor pod_metadata;
  std::vector<archive::ContainerParts> containers;
};

// Compresses and hashes what was captured, and adds to the pod's description what the images say:
// their sizes, files that a restore needs, and when they were archived. The pod runs meanwhile, or
// waits for its end. Progress is told in source bytes, not more often than ten times a second.
// Errors: kCancelled, kDeadlineExceeded among them.
Result<ArchivedPod> ArchivePod(const jobs::CheckpointJob& job,
                               const std::vector<PreparedDump>& dumps,
                               archive::PodCheckpoint& checkpoint, archive::ArchiveWriter& writer,
                               const jobs::EventLog& events, Deadline deadline);

}  // namespace cryopod::checkpoint
