#include "agent/checkpoint/late_containers.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "agent/jobs/process_identity.h"
#include "agent/os/directory.h"
#include "agent/os/proc.h"

namespace cryopod::checkpoint {
namespace {

// One of those that the containers of a pod have in common, and nobody else has.
bool SharesNamespace(pid_t one, pid_t other) {
  return std::ranges::any_of(std::to_array({"ipc", "net", "uts"}), [&](const char* type) {
    const Result<uint64_t> shared = NamespaceInode(one, type);
    const Result<uint64_t> nodes = NamespaceInode(::getpid(), type);
    const Result<uint64_t> others = NamespaceInode(other, type);
    return shared.ok() && nodes.ok() && others.ok() && *shared == *others && *shared != *nodes;
  });
}

bool IsDumped(const ResolvedPod& pod, const std::string& id) {
  return std::ranges::any_of(pod.targets,
                             [&id](const DumpTarget& target) { return target.requested.id == id; });
}

}  // namespace

Status CheckNoneIsLate(const jobs::CheckpointJob& job, const ResolvedPod& pod) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries,
                           ListDirectory(job.runtime_root));
  for (const DirectoryEntry& entry : entries) {
    if (entry.name == job.sandbox_id || IsDumped(pod, entry.name)) continue;
    const Result<criu::ContainerState> state =
        criu::ReadContainerState(job.runtime_root, entry.name);
    // One that is being made or removed, or another kind of folder.
    if (!state.ok() || !jobs::IsAlive({state->init_pid, state->init_start_ticks})) continue;
    const auto is_beside = [&state](const DumpTarget& target) {
      return SharesNamespace(target.state.init_pid, state->init_pid);
    };
    if (std::ranges::any_of(pod.targets, is_beside)) {
      return Status(Code::kFailedPrecondition,
                    "container " + entry.name +
                        " was started in the pod after the checkpoint had begun: try again",
                    Reason::kPodChanged);
    }
  }
  return Status();
}

}  // namespace cryopod::checkpoint
