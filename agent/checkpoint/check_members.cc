#include "agent/checkpoint/check_members.h"

#include <fcntl.h>

#include "agent/checkpoint/newcomers.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"

namespace cryopod::checkpoint {
std::string DescribeDifference(const std::set<pid_t>& in_leaf, const std::set<pid_t>& dumped) {
  for (const pid_t pid : in_leaf) {
    if (!dumped.contains(pid)) {
      return "task " + std::to_string(pid) + " came in while the container was dumped";
    }
  }
  for (const pid_t pid : dumped) {
    if (!in_leaf.contains(pid)) {
      return "task " + std::to_string(pid) + " was dumped and has left the container's cgroup";
    }
  }
  return std::string();
}

Result<uint32_t> CheckMembers(const DumpTarget& target,
                              const std::vector<criu::DumpedProcess>& dumped) {
  std::set<pid_t> dumped_pids;
  for (const criu::DumpedProcess& process : dumped) {
    dumped_pids.insert(process.threads.begin(), process.threads.end());
  }
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> threads, target.cgroup.Threads());
  std::set<pid_t> in_leaf;
  for (const pid_t thread : threads) {
    const Result<ProcessInfo> info = ReadProcessInfo(thread);
    if (!info.ok() || info->namespace_pids.empty() || IsZombie(*info)) continue;
    in_leaf.insert(info->namespace_pids.back());
  }
  std::string difference = DescribeDifference(in_leaf, dumped_pids);
  if (difference.empty()) return static_cast<uint32_t>(in_leaf.size());
  const std::string undumped = DescribeUndumped(target, dumped_pids);
  if (!undumped.empty()) difference += ": " + undumped;
  return Status(Code::kAborted, "container " + target.requested.name + ": " + difference,
                Reason::kPodChanged);
}

Result<BirthWatch> BirthWatch::Begin(const ResolvedPod& pod, Deadline deadline) {
  BirthWatch watch;
  for (const DumpTarget& target : pod.targets) {
    if (watch.namespaces_.contains(target.pid_namespace)) continue;
    CRYOPOD_ASSIGN_OR_RETURN(
        const UniqueFd pid_namespace,
        OpenAt(AT_FDCWD, "/proc/" + std::to_string(target.state.init_pid) + "/ns/pid", O_RDONLY));
    CRYOPOD_ASSIGN_OR_RETURN(LastPid last, LastPid::Enter(pid_namespace.get(), deadline));
    watch.namespaces_.emplace(target.pid_namespace, std::move(last));
  }
  return watch;
}

Result<BirthMarks> BirthWatch::Read(Deadline deadline) const {
  BirthMarks marks;
  for (const auto& [pid_namespace, last] : namespaces_) {
    const Result<pid_t> pid = last.Read(deadline);
    if (pid.status().code() == Code::kUnavailable) {
      return Status(Code::kAborted, pid.status().message(), Reason::kPodChanged);
    }
    if (!pid.ok()) return pid.status();
    marks[pid_namespace] = *pid;
  }
  return marks;
}

Status CheckNothingWasBorn(const BirthMarks& before, const BirthMarks& after) {
  for (const auto& [pid_namespace, pid] : before) {
    const auto now = after.find(pid_namespace);
    if (now != after.end() && now->second == pid) continue;
    return Status(Code::kAborted, "a process was started in the pod while it was dumped",
                  Reason::kPodChanged);
  }
  return Status();
}

}  // namespace cryopod::checkpoint
