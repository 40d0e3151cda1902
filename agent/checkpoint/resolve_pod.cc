#include "agent/checkpoint/resolve_pod.h"

#include <unistd.h>

#include <chrono>
#include <utility>

#include "agent/os/deadline.h"
#include "agent/os/namespaces.h"
#include "agent/os/proc.h"
#include "agent/os/subprocess.h"
#include "agent/os/text.h"

namespace cryopod::checkpoint {
namespace {

Status CheckInit(const criu::ContainerState& state) {
  const Result<ProcessInfo> info = ReadProcessInfo(state.init_pid);
  if (!info.ok() || info->start_time_ticks != state.init_start_ticks) {
    return Status(Code::kAborted,
                  "its first process (PID " + std::to_string(state.init_pid) +
                      ") has ended; try again when the container runs",
                  Reason::kPodChanged);
  }
  return Status();
}

Result<DumpTarget> ResolveContainer(const jobs::CheckpointJob& job,
                                    const jobs::RequestedContainer& requested,
                                    const std::vector<MountEntry>& node_mounts) {
  CRYOPOD_ASSIGN_OR_RETURN(criu::ContainerState state,
                           criu::ReadContainerState(job.runtime_root, requested.id));
  // The pidfd first, then the start time: what the pidfd holds is then the process we mean.
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd pidfd, OpenPidfd(state.init_pid));
  CRYOPOD_RETURN_IF_ERROR(CheckInit(state));
  CRYOPOD_ASSIGN_OR_RETURN(Cgroup cgroup, Cgroup::OfProcess(state.init_pid));
  Result<std::string> upper_dir = UpperDirOf(state.rootfs, node_mounts);
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts, ReadMountInfo(state.init_pid));
  CRYOPOD_ASSIGN_OR_RETURN(criu::DumpOptions options,
                           criu::BuildDumpOptions(state, mounts, cgroup.path()));
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t pid_namespace, NamespaceInode(state.init_pid, "pid"));
  std::vector<PlacedMount> placed = PlaceMounts(state, job.sandbox_id, mounts, node_mounts);
  std::vector<std::string> mount_points;
  mount_points.reserve(mounts.size());
  for (const MountEntry& mount : mounts) mount_points.push_back(mount.mount_point);
  return DumpTarget{requested,          std::move(state),
                    std::move(pidfd),   std::move(cgroup),
                    std::move(options), upper_dir.ok() ? *upper_dir : "",
                    upper_dir.status(), pid_namespace,
                    std::move(placed),  std::move(mount_points)};
}

}  // namespace

Result<std::string> UpperDirOf(const std::string& rootfs, const std::vector<MountEntry>& mounts) {
  const MountEntry* const found = MountedAt(rootfs, mounts);
  if (found == nullptr) {
    return Status(Code::kFailedPrecondition,
                  "nothing is mounted at its root file system " + rootfs);
  }
  if (found->file_system_type != "overlay") {
    return Status(Code::kFailedPrecondition,
                  "its root file system " + rootfs + " is " + found->file_system_type +
                      "; only overlay is known (containerd's snapshotter overlayfs)");
  }
  static constexpr std::string_view kKey = "upperdir=";
  for (const std::string_view option : Split(found->super_options, ',')) {
    if (option.starts_with(kKey)) return std::string(option.substr(kKey.size()));
  }
  return Status(Code::kFailedPrecondition,
                "the overlay at " + rootfs + " has no upper directory: it is mounted read-only");
}

Result<ResolvedPod> ResolvePod(const jobs::CheckpointJob& job) {
  if (job.containers.empty()) {
    return Status(Code::kFailedPrecondition, "the pod has no running container");
  }
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<MountEntry> node_mounts, ReadMountInfo(::getpid()));
  ResolvedPod pod;
  for (const jobs::RequestedContainer& requested : job.containers) {
    CRYOPOD_ASSIGN_OR_RETURN(
        DumpTarget target,
        ResolveContainer(job, requested, node_mounts).While("container " + requested.name));
    pod.shares_pid_namespace |= !target.state.namespace_paths["NEWPID"].empty();
    pod.targets.push_back(std::move(target));
  }
  CRYOPOD_ASSIGN_OR_RETURN(pod.hostname, ReadHostname(pod.targets.front().init_pidfd.get(),
                                                      Deadline::After(kNamespaceTimeout)));
  return pod;
}

Status CheckUnchanged(const ResolvedPod& pod) {
  for (const DumpTarget& target : pod.targets) {
    CRYOPOD_RETURN_IF_ERROR(CheckInit(target.state).While("container " + target.requested.name));
  }
  return Status();
}

}  // namespace cryopod::checkpoint
