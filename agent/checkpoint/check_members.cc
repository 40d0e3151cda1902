#include "agent/checkpoint/check_members.h"

#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "agent/os/directory.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"

namespace cryopod::checkpoint {
namespace {

// More of them tell nobody more.
constexpr size_t kNamesMax = 3;
// What runc calls its process until that runs the command. Source: runc, libcontainer/nsenter.
constexpr std::string_view kRuncStage = "runc:[";

// By their PIDs in the container's namespace, each as it is numbered in ours.
using Tasks = std::map<pid_t, pid_t>;

Result<Tasks> TasksIn(const Cgroup& leaf) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> threads, leaf.Threads());
  Tasks tasks;
  for (const pid_t thread : threads) {
    const Result<ProcessInfo> info = ReadProcessInfo(thread);
    if (!info.ok() || info->namespace_pids.empty() || IsZombie(*info)) continue;
    tasks[info->namespace_pids.back()] = thread;
  }
  return tasks;
}

std::set<pid_t> ThreadsOf(const std::vector<criu::DumpedProcess>& processes) {
  std::set<pid_t> threads;
  for (const criu::DumpedProcess& process : processes) {
    threads.insert(process.threads.begin(), process.threads.end());
  }
  return threads;
}

// A sentence; empty when there is no difference.
std::string DescribeDifference(const Tasks& in_leaf, const std::set<pid_t>& dumped) {
  for (const auto& [pid, thread] : in_leaf) {
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

std::string NameNewcomer(const ProcessInfo& process) {
  const bool by_runtime = process.command.starts_with(kRuncStage);
  return NameOf(process) + (by_runtime ? ", an exec of the container runtime" : "");
}

// A namespace gives PIDs out upwards, and begins again at its limit.
bool IsBetween(pid_t before, pid_t now, pid_t pid) {
  return before <= now ? pid > before && pid <= now : pid > before || pid <= now;
}

// Nothing when it is none of the pod's, is older, or has left no trace.
std::optional<ProcessInfo> FindBorn(pid_t pid, const BirthMarks& before, const BirthMarks& now) {
  const Result<uint64_t> pid_namespace = NamespaceInode(pid, "pid");
  if (!pid_namespace.ok() || !now.contains(*pid_namespace)) return std::nullopt;
  Result<ProcessInfo> process = ReadProcessInfo(pid);
  if (!process.ok() || process->namespace_pids.empty() ||
      !IsBetween(before.at(*pid_namespace), now.at(*pid_namespace),
                 process->namespace_pids.back())) {
    return std::nullopt;
  }
  return std::move(process).value();
}

// It looks at many processes; it is for a capture that is lost already.
std::string DescribeBorn(const ResolvedPod& pod, const BirthMarks& before, const BirthMarks& now) {
  std::vector<std::string> names;
  for (const DumpTarget& target : pod.targets) {
    const Result<std::vector<pid_t>> members = target.cgroup.Processes();
    if (!members.ok()) continue;
    for (const pid_t member : *members) {
      const std::optional<ProcessInfo> born = FindBorn(member, before, now);
      if (born && !IsZombie(*born)) {
        names.push_back("container " + target.requested.name + ": " + NameNewcomer(*born));
      }
    }
  }
  if (!names.empty()) return JoinFirst(names, kNamesMax);
  const Result<std::vector<DirectoryEntry>> entries = ListDirectory("/proc");
  if (!entries.ok()) return entries.status().message();
  for (const DirectoryEntry& entry : *entries) {
    pid_t pid = 0;
    if (!ParseNumber(entry.name, pid)) continue;
    const std::optional<ProcessInfo> born = FindBorn(pid, before, now);
    if (!born) continue;
    names.push_back(NameNewcomer(*born) +
                    (IsZombie(*born) ? ", which has ended again" : ", on its way in"));
  }
  return names.empty() ? "it has ended again" : JoinFirst(names, kNamesMax);
}

}  // namespace

std::string DescribeUndumped(const DumpTarget& target,
                             const std::vector<criu::DumpedProcess>& dumped) {
  const Result<Tasks> tasks = TasksIn(target.cgroup);
  if (!tasks.ok()) return std::string();
  const std::set<pid_t> known = ThreadsOf(dumped);
  std::vector<std::string> names;
  std::set<pid_t> told;
  for (const auto& [pid, thread] : *tasks) {
    const Result<pid_t> leader = ReadThreadGroup(thread);
    if (known.contains(pid) || !leader.ok() || !told.insert(*leader).second) continue;
    const Result<ProcessInfo> process = ReadProcessInfo(*leader);
    if (process.ok()) names.push_back(NameNewcomer(*process));
  }
  return JoinFirst(names, kNamesMax);
}

Result<uint32_t> CheckMembers(const DumpTarget& target,
                              const std::vector<criu::DumpedProcess>& dumped) {
  CRYOPOD_ASSIGN_OR_RETURN(const Tasks in_leaf, TasksIn(target.cgroup));
  std::string difference = DescribeDifference(in_leaf, ThreadsOf(dumped));
  if (difference.empty()) return static_cast<uint32_t>(in_leaf.size());
  const std::string undumped = DescribeUndumped(target, dumped);
  if (!undumped.empty()) difference += ": " + undumped;
  return Status(Code::kAborted, "container " + target.requested.name + ": " + difference,
                Reason::kPodChanged);
}

Result<BirthWatch> BirthWatch::Begin(const ResolvedPod& pod, Deadline deadline) {
  BirthWatch watch(pod);
  for (const DumpTarget& target : pod.targets) {
    if (watch.namespaces_.contains(target.pid_namespace)) continue;
    CRYOPOD_ASSIGN_OR_RETURN(LastPid last, LastPid::Enter(target.init_pidfd.get(), deadline));
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

Status BirthWatch::CheckNothingWasBorn(const BirthMarks& before, Deadline deadline) const {
  CRYOPOD_ASSIGN_OR_RETURN(const BirthMarks now, Read(deadline));
  if (now == before) return Status();
  return Status(
      Code::kAborted,
      "a process was started in the pod while it was dumped: " + DescribeBorn(*pod_, before, now),
      Reason::kPodChanged);
}

}  // namespace cryopod::checkpoint
