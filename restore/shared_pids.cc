#include "restore/shared_pids.h"

#include <linux/capability.h>

#include <vector>

#include "agent/os/cgroup.h"
#include "agent/os/directory.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"

namespace cryopod::restore {
namespace {

// It may take the capability back as long as it is in the bounding set.
bool MayTrace(const CapabilitySets& sets) {
  return ((sets.permitted | sets.bounding) >> CAP_SYS_PTRACE & 1) != 0;
}

bool Runs(const ProcessInfo& process) { return !IsZombie(process) && !StandsStill(process); }

}  // namespace

Status CheckNobodyMayTrace(const std::string& pid_ns_path) {
  if (pid_ns_path.empty()) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t shared,
                           NamespaceInode(pid_ns_path).While("the pod's PID namespace"));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory("/proc"));
  for (const DirectoryEntry& entry : entries) {
    pid_t pid = 0;
    if (!ParseNumber(entry.name, pid)) continue;
    // One that ends meanwhile is no danger.
    const Result<uint64_t> inode = NamespaceInode(pid, "pid");
    if (!inode.ok() || *inode != shared) continue;
    const Result<ProcessInfo> process = ReadProcessInfo(pid);
    const Result<TaskCredentials> credentials = ReadTaskCredentials(pid);
    if (!process.ok() || !credentials.ok()) continue;
    if (!MayTrace(credentials->capabilities) || !Runs(*process)) continue;
    return Status(Code::kFailedPrecondition,
                  NameOf(*process) +
                      " runs already in the PID namespace that the pod's containers share, and has "
                      "CAP_SYS_PTRACE: it would see CRIU there and could take what is the node's; "
                      "raise restore_hold, so that it is let run after the last container is "
                      "restored, or drop SYS_PTRACE, and make the pod anew",
                  Reason::kSecurityContext);
  }
  return Status();
}

}  // namespace cryopod::restore
