#pragma once

#include <utility>
#include <vector>

#include "agent/checkpoint/resolve_pod.h"
#include "agent/checkpoint/upper_copy.h"
#include "agent/criu/criu_client.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/os/staging_area.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::checkpoint {

// The CRIU processes of one checkpoint. Until CRIU can be asked takes longer than all that is
// looked at before a freeze: so all of them are started first, and start while that is looked at.
//
// Threads  one at a time.
class StartedCriu {
 public:
  // Starts one that tells its version and one for each container that will dump. Returns at once.
  // `job` must outlive the answer. Errors: kNotFound (no such program; names the package).
  static Result<StartedCriu> Start(const jobs::CheckpointJob& job);

  // Waits for the version, refuses one that is too old, and lets CRIU learn what it needs of the
  // kernel where nobody has since the boot. Once only. Errors: those of criu::CheckVersion and
  // criu::CheckFeatures.
  Result<criu::Version> Check();

  // Processes for one capture: those that were started, or new ones when these have been taken.
  Result<std::vector<criu::CriuProcess>> Take();

 private:
  StartedCriu(const jobs::CheckpointJob& job, criu::VersionInquiry version)
      : job_(&job), version_(std::move(version)) {}

  const jobs::CheckpointJob* job_;
  criu::VersionInquiry version_;
  std::vector<criu::CriuProcess> ready_;
};

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

// Makes one ready for each container of the job that `started` is for. A second call makes
// everything anew. `pod` must outlive the answer. Errors: kCancelled, kDeadlineExceeded among them.
Result<std::vector<PreparedDump>> PrepareDumps(StartedCriu& started, const ResolvedPod& pod,
                                               const StagingArea& staging, Deadline deadline);

}  // namespace cryopod::checkpoint
