#include "agent/checkpoint/newcomers.h"

#include <optional>
#include <string_view>
#include <utility>

#include "agent/criu/printable.h"
#include "agent/os/directory.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"

namespace cryopod::checkpoint {
namespace {

// More of them tell nobody more.
constexpr size_t kNamesMax = 3;
// What runc calls its process until that runs the command. Source: runc, libcontainer/nsenter.
constexpr std::string_view kRuncStage = "runc:[";

class Names {
 public:
  void Add(const std::string& name) {
    if (++count_ > kNamesMax) return;
    if (!text_.empty()) text_ += ", ";
    text_ += name;
  }
  std::string Text() const {
    if (count_ <= kNamesMax) return text_;
    return text_ + " and " + std::to_string(count_ - kNamesMax) + " more";
  }

 private:
  std::string text_;
  size_t count_ = 0;
};

std::string NameOf(const ProcessInfo& process) {
  std::string name =
      "process " + std::to_string(process.pid) + " (" + criu::Printable(process.command) + ")";
  if (process.command.starts_with(kRuncStage)) name += ", an exec of the container runtime";
  return name;
}

bool IsZombie(const ProcessInfo& process) { return process.state == 'Z' || process.state == 'X'; }

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
  Names names;
  for (const DumpTarget& target : targets) {
    const Result<std::vector<pid_t>> members = target.cgroup.Processes();
    if (!members.ok()) continue;
    for (const pid_t pid : *members) {
      const std::optional<ProcessInfo> born = FindBorn(pid, before, now);
      if (born && !IsZombie(*born)) {
        names.Add("container " + target.requested.name + ": " + NameOf(*born));
      }
    }
  }
  if (!names.Text().empty()) return names.Text();
  const Result<std::vector<DirectoryEntry>> entries = ListDirectory("/proc");
  if (!entries.ok()) return entries.status().message();
  for (const DirectoryEntry& entry : *entries) {
    pid_t pid = 0;
    if (!ParseNumber(entry.name, pid)) continue;
    const std::optional<ProcessInfo> born = FindBorn(pid, before, now);
    if (!born) continue;
    names.Add(NameOf(*born) + (IsZombie(*born) ? ", which has ended again" : ", on its way in"));
  }
  return names.Text().empty() ? "it has ended again" : names.Text();
}

std::string DescribeUndumped(const DumpTarget& target, const std::set<pid_t>& dumped) {
  const Result<std::vector<pid_t>> threads = target.cgroup.Threads();
  if (!threads.ok()) return std::string();
  Names names;
  std::set<pid_t> told;
  for (const pid_t thread : *threads) {
    const Result<ProcessInfo> task = ReadProcessInfo(thread);
    if (!task.ok() || task->namespace_pids.empty() || IsZombie(*task)) continue;
    if (dumped.contains(task->namespace_pids.back())) continue;
    const Result<pid_t> leader = ReadThreadGroup(thread);
    if (!leader.ok() || !told.insert(*leader).second) continue;
    const Result<ProcessInfo> process = ReadProcessInfo(*leader);
    if (process.ok()) names.Add(NameOf(*process));
  }
  return names.Text();
}

}  // namespace cryopod::checkpoint
