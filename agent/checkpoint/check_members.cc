#include "agent/checkpoint/check_members.h"

#include <fcntl.h>

#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/namespaces.h"
#include "agent/os/proc.h"

namespace cryopod::checkpoint {
namespace {

// Zombies of the node by their PID in the container's namespace. Only asked for when a dumped task
// is missing in the leaf, which is rare.
Result<std::set<pid_t>> ZombiesIn(uint64_t pid_namespace) {
  std::set<pid_t> zombies;
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory("/proc"));
  for (const DirectoryEntry& entry : entries) {
    if (entry.name.find_first_not_of("0123456789") != std::string::npos) continue;
    const pid_t pid = static_cast<pid_t>(std::stol(entry.name));
    const Result<ProcessInfo> info = ReadProcessInfo(pid);
    if (!info.ok() || info->state != 'Z' || info->namespace_pids.empty()) continue;
    // A zombie has no namespaces any more; its parent, which has not reaped it, does.
    const Result<uint64_t> inode = NamespaceInode(info->parent_pid, "pid");
    if (inode.ok() && *inode == pid_namespace) zombies.insert(info->namespace_pids.back());
  }
  return zombies;
}

}  // namespace

std::string DescribeDifference(const std::set<pid_t>& in_leaf, const std::set<pid_t>& dumped,
                               const std::set<pid_t>& zombies) {
  for (const pid_t pid : in_leaf) {
    if (!dumped.contains(pid)) {
      return "task " + std::to_string(pid) + " came in while the container was dumped";
    }
  }
  for (const pid_t pid : dumped) {
    if (!in_leaf.contains(pid) && !zombies.contains(pid)) {
      return "task " + std::to_string(pid) + " was dumped and has left the container's cgroup";
    }
  }
  return std::string();
}

Status CheckMembers(const DumpTarget& target, const std::vector<criu::DumpedProcess>& dumped) {
  std::set<pid_t> dumped_pids;
  for (const criu::DumpedProcess& process : dumped) {
    dumped_pids.insert(process.pid);
    dumped_pids.insert(process.threads.begin(), process.threads.end());
  }
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> threads, target.cgroup.Threads());
  std::set<pid_t> in_leaf;
  for (const pid_t thread : threads) {
    const Result<ProcessInfo> info = ReadProcessInfo(thread);
    if (!info.ok() || info->namespace_pids.empty() || info->state == 'Z') continue;
    in_leaf.insert(info->namespace_pids.back());
  }
  std::string difference = DescribeDifference(in_leaf, dumped_pids, dumped_pids);
  if (difference.empty() && in_leaf != dumped_pids) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::set<pid_t> zombies, ZombiesIn(target.pid_namespace));
    difference = DescribeDifference(in_leaf, dumped_pids, zombies);
  }
  if (difference.empty()) return Status();
  return Status(Code::kAborted, "container " + target.requested.name + ": " + difference);
}

Result<BirthMarks> ReadBirthMarks(const ResolvedPod& pod, Deadline deadline) {
  BirthMarks marks;
  for (const DumpTarget& target : pod.targets) {
    if (marks.contains(target.pid_namespace)) continue;
    CRYOPOD_ASSIGN_OR_RETURN(
        const UniqueFd pid_namespace,
        OpenAt(AT_FDCWD, "/proc/" + std::to_string(target.state.init_pid) + "/ns/pid", O_RDONLY));
    CRYOPOD_ASSIGN_OR_RETURN(marks[target.pid_namespace],
                             ProbeNextPid(pid_namespace.get(), deadline));
  }
  return marks;
}

Status CheckNothingWasBorn(const BirthMarks& before, const BirthMarks& after) {
  for (const auto& [pid_namespace, pid] : before) {
    const auto now = after.find(pid_namespace);
    if (now != after.end() && now->second == pid + 1) continue;
    return Status(Code::kAborted, "a process was started in the pod while it was dumped");
  }
  return Status();
}

}  // namespace cryopod::checkpoint
