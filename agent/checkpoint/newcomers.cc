#include "agent/checkpoint/newcomers.h"

#include <optional>
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
  if (!pid_namespace.ok()) return std::nullopt;
  const auto first = before.find(*pid_namespace);
  const auto last = now.find(*pid_namespace);
  if (first == before.end() || last == now.end()) return std::nullopt;
  Result<ProcessInfo> process = ReadProcessInfo(pid);
  if (!process.ok() || process->namespace_pids.empty() ||
      !IsBetween(first->second, last->second, process->namespace_pids.back())) {
    return std::nullopt;
  }
  return std::move(process).value();
}

}  // namespace

std::string DescribeBorn(const std::vector<DumpTarget>& targets, const BirthMarks& before,
                         const BirthMarks& now) {
  std::vector<std::string> names;
  for (const DumpTarget& target : targets) {
    const Result<std::vector<pid_t>> members = target.cgroup.Processes();
    if (!members.ok()) continue;
    for (const pid_t pid : *members) {
      const std::optional<ProcessInfo> born = FindBorn(pid, before, now);
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

std::string DescribeUndumped(const DumpTarget& target, const std::set<pid_t>& dumped) {
  const Result<std::vector<pid_t>> threads = target.cgroup.Threads();
  if (!threads.ok()) return std::string();
  std::vector<std::string> names;
  std::set<pid_t> told;
  for (const pid_t thread : *threads) {
    const Result<ProcessInfo> task = ReadProcessInfo(thread);
    if (!task.ok() || task->namespace_pids.empty() || IsZombie(*task)) continue;
    if (dumped.contains(task->namespace_pids.back())) continue;
    const Result<pid_t> leader = ReadThreadGroup(thread);
    if (!leader.ok() || !told.insert(*leader).second) continue;
    const Result<ProcessInfo> process = ReadProcessInfo(*leader);
    if (process.ok()) names.push_back(NameNewcomer(*process));
  }
  return JoinFirst(names, kNamesMax);
}

}  // namespace cryopod::checkpoint
