#pragma once

#include <string>
#include <vector>

#include "agent/checkpoint/dump_target.h"
#include "agent/checkpoint/upper_copy.h"
#include "agent/criu/criu_client.h"
#include "agent/os/staging_area.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::checkpoint {

// Everything of one container's dump that can be made before the freeze: directories, a parked
// CRIU, the writable layer as far as it stands still.
struct PreparedDump {
  const DumpTarget* target = nullptr;
  UniqueFd images_dir;  // CRIU images and descriptors.json, nothing else
  UniqueFd work_dir;    // dump.log, stats-dump
  UniqueFd rootfs_dir;  // copy of the upper directory
  UniqueFd upper_dir;
  criu::CriuProcess criu;
  UpperCopy upper;
};

// Makes one ready for each container, with the CRIU of its number. A second call makes everything
// anew. `pod` must outlive the answer.
Result<std::vector<PreparedDump>> PrepareDumps(std::vector<criu::CriuProcess> crius,
                                               const ResolvedPod& pod, StagingArea& staging);

}  // namespace cryopod::checkpoint
