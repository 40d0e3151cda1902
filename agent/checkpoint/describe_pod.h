#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/archive/oci/pod_checkpoint.h"
#include "agent/checkpoint/capture_pod.h"
#include "agent/jobs/checkpoint_job.h"

namespace cryopod::checkpoint {

// The archive's config blob. `sizes_bytes` are those of each container's CRIU images.
// Pure, but for the clock that `created` was read from.
archive::PodCheckpoint DescribePod(const jobs::CheckpointJob& job, const ResolvedPod& pod,
                                   const std::vector<CapturedContainer>& captured,
                                   const std::vector<uint64_t>& sizes_bytes,
                                   archive::NodeFacts node, const std::string& created);

// Files of a container's metadata layer that are made from words: config.dump, status, status.dump,
// spec.dump, container-config.json.
//
// Source  checkpointctl lib/metadata.go (ContainerConfig, ContainerdStatus).
std::map<std::string, std::string> ContainerMetadata(const jobs::RequestedContainer& container,
                                                     const std::string& oci_runtime,
                                                     const std::string& spec_json,
                                                     const std::string& created);

// pod.dump and pod.options.
std::map<std::string, std::string> PodMetadata(const jobs::CheckpointJob& job);

}  // namespace cryopod::checkpoint
