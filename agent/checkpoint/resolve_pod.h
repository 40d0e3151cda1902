#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/checkpoint/mount_origin.h"
#include "agent/criu/container_state.h"
#include "agent/criu/dump_options.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/os/cgroup.h"
#include "agent/os/mount_info.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::checkpoint {

// What is asked in a namespace of the pod takes milliseconds.
inline constexpr std::chrono::seconds kNamespaceTimeout{5};

// One container on its way through a checkpoint: what CRI asked for, what the runtime knows, and
// the kernel objects that identify it: init process by pidfd and start time, cgroup by directory.
// What stands against a checkpoint of it is found here and told by preflight, with all other
// reasons.
struct DumpTarget {
  jobs::RequestedContainer requested;
  criu::ContainerState state;
  UniqueFd init_pidfd;  // setns(2) takes it for the namespaces of its process
  Cgroup cgroup;
  criu::DumpOptions options;
  std::string upper_dir;                  // overlayfs upper directory of the root file system
  Status no_upper_dir;                    // why it is empty
  uint64_t pid_namespace = 0;             // inode; containers that share it share one number
  std::vector<PlacedMount> mounts;        // what is bound into the container
  std::vector<std::string> mount_points;  // of all that is mounted in it
};

struct ResolvedPod {
  std::vector<DumpTarget> targets;
  std::string hostname;
  bool shares_pid_namespace = false;
};

// From CRI's words to kernel objects. Errors: kFailedPrecondition (a container that does
// not run), kAborted (the pod changed under us).
Result<ResolvedPod> ResolvePod(const jobs::CheckpointJob& job);

// Pure: upperdir= of the overlay mounted at `rootfs`. Errors: kFailedPrecondition, names what is
// mounted there instead.
Result<std::string> UpperDirOf(const std::string& rootfs, const std::vector<MountEntry>& mounts);

// Is every container still the process that was resolved? Errors: kAborted, names the container.
Status CheckUnchanged(const ResolvedPod& pod);

}  // namespace cryopod::checkpoint
