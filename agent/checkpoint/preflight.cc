#include "agent/checkpoint/preflight.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <set>

#include "agent/archive/tar/layer_entry.h"
#include "agent/checkpoint/external_files.h"
#include "agent/checkpoint/pod_content.h"
#include "agent/checkpoint/seen_process.h"
#include "agent/checkpoint/tree_size.h"
#include "agent/checkpoint/unrestorable.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/namespaces.h"
#include "agent/os/text.h"

namespace cryopod::checkpoint {
namespace {

// Left free on the archive's file system whatever happens: logs, the journal, other people's pods.
constexpr uint64_t kDiskReserveBytes = uint64_t{64} << 20;

class Reasons {
 public:
  void Add(Reason word, const std::string& reason) {
    reasons_.push_back(reason);
    if (word_ == Reason::kNone) word_ = word;
  }
  // An exec session, which may be gone in a moment.
  void AddPassing(const std::string& reason) { reasons_.push_back(reason); }
  // Counted as the first one that lasts.
  Status ToStatus() const {
    if (reasons_.empty()) return Status();
    if (word_ == Reason::kNone) return Status(Code::kAborted, Text(), Reason::kExecSession);
    return Status(Code::kFailedPrecondition, Text(), word_);
  }

 private:
  std::string Text() const {
    if (reasons_.size() == 1) return reasons_.front();
    std::string text;
    int number = 0;
    for (const std::string& reason : reasons_) {
      text += (text.empty() ? "(" : " (") + std::to_string(++number) + ") " + reason;
    }
    return text;
  }

  std::vector<std::string> reasons_;
  Reason word_ = Reason::kNone;
};

void CheckProcess(const SeenProcess& seen, const std::string& container, uint64_t user_namespace,
                  Reasons& reasons) {
  const ProcessInfo& process = seen.info;
  const std::string who = "container " + container + ": " + NameOf(process);
  if (process.tracer_pid != 0) {
    reasons.Add(Reason::kTraced, who + " is traced by PID " + std::to_string(process.tracer_pid) +
                                     "; end the debugger first");
  }
  if (process.state == 'T' || process.state == 't') {
    reasons.Add(Reason::kProcessStopped, who + " is stopped; continue it or end it first");
  }
  const Result<uint64_t> user = NamespaceInode(process.pid, "user");
  if (user.ok() && *user != user_namespace) {
    reasons.Add(Reason::kUserNamespace,
                who + " lives in a user namespace, which CRIU cannot dump (hostUsers: false)");
  }
  std::set<std::string_view> told;
  for (const SeenProcess::Link& link : seen.links) {
    const DescriptorReason against = ReasonAgainstDescriptor(link.target);
    if (against.word == Reason::kNone || !told.insert(against.text).second) continue;
    reasons.Add(against.word, who + " " + std::string(against.text));
  }
}

void CheckNamespaces(const DumpTarget& target, Reasons& reasons) {
  const Result<uint64_t> ours = NamespaceInode(::getpid(), "pid");
  if (ours.ok() && *ours == target.pid_namespace) {
    reasons.Add(
        Reason::kHostPid,
        "container " + target.requested.name +
            " shares the node's PID namespace (hostPID: true); its PIDs would be taken elsewhere");
  }
}

Status CheckContainer(const DumpTarget& target, PreflightReport& report, Reasons& reasons) {
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t user_namespace, NamespaceInode(::getpid(), "user"));
  CRYOPOD_ASSIGN_OR_RETURN(std::vector<SeenProcess> processes, LookAtProcesses(target.cgroup));
  std::vector<ProcessInfo> infos;
  for (const SeenProcess& process : processes) {
    CheckProcess(process, target.requested.name, user_namespace, reasons);
    const Result<uint64_t> bytes = DumpableBytes(process.info.pid);
    if (bytes.ok()) report.memory_bytes += *bytes;
    infos.push_back(process.info);
  }
  for (const ProcessInfo& stray : FindStrayProcesses(infos, target.state.init_pid)) {
    reasons.AddPassing(
        "container " + target.requested.name + ": " + NameOf(stray) +
        " does not descend from the container's first process (an exec session, or an orphan of a"
        " pod that shares its PID namespace); let it end and try again");
    // It is not dumped, and what a debugging tool holds for a moment is no reason that lasts.
    std::erase_if(processes,
                  [&stray](const SeenProcess& one) { return one.info.pid == stray.pid; });
  }
  const Inspection inspection = InspectProcesses(target, processes);
  for (const Objection& objection : inspection.objections) {
    reasons.Add(objection.word, objection.sentence);
  }
  report.memory_bytes += inspection.images_bytes;
  for (std::string& file :
       NameExternalFiles(target.requested.name, FindExternalFiles(target, processes))) {
    report.external_files.push_back(std::move(file));
  }
  CheckNamespaces(target, reasons);
  return Status();
}

// What the writer of an archive would refuse, because its reader does.
void CheckWritableLayer(const DumpTarget& target, const TreeSize& upper, Reasons& reasons) {
  const auto add = [&](const Status& refused) {
    reasons.Add(refused.reason(), "container " + target.requested.name + ": " + refused.message());
  };
  for (const std::string& path : upper.device_nodes) add(archive::RefuseDeviceNode(path));
  if (upper.entries > archive::kLayerEntriesMax) add(archive::RefuseTooManyEntries());
}

Status CheckSpace(const jobs::CheckpointJob& job, const PreflightReport& report) {
  const uint64_t needed = report.memory_bytes + report.writable_bytes + kDiskReserveBytes;
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t free, FreeBytes(job.store_root));
  if (free >= needed) return Status();
  return Status(Code::kResourceExhausted,
                "the archive may need " + WholeMib(needed) + " and " + job.store_root + " has " +
                    WholeMib(free) + " free; delete archives or free space there",
                Reason::kNoSpace);
}

}  // namespace

uint64_t PreflightReport::StagingBytes() const {
  constexpr uint64_t kMarginBytes = uint64_t{64} << 20;
  const uint64_t bytes = memory_bytes + writable_bytes;
  return bytes + bytes / 4 + kMarginBytes;
}

std::vector<ProcessInfo> FindStrayProcesses(const std::vector<ProcessInfo>& processes, pid_t init) {
  std::map<pid_t, const ProcessInfo*> by_pid;
  for (const ProcessInfo& process : processes) by_pid[process.pid] = &process;
  std::vector<ProcessInfo> strays;
  for (const ProcessInfo& process : processes) {
    pid_t pid = process.pid;
    // A chain of parents is never longer than the list; reading /proc is no snapshot, so a loop
    // cannot be excluded.
    for (size_t steps = 0; pid != init && steps <= processes.size(); ++steps) {
      const auto parent = by_pid.find(pid);
      if (parent == by_pid.end()) break;
      pid = parent->second->parent_pid;
    }
    if (pid != init) strays.push_back(process);
  }
  return strays;
}

DescriptorReason ReasonAgainstDescriptor(const std::string& link) {
  struct Refused {
    std::string_view prefix;
    DescriptorReason reason;
  };
  static constexpr Refused kRefused[] = {
      {"anon_inode:[io_uring]",
       {Reason::kIoUring, "uses io_uring, which CRIU cannot dump; turn it off in the application"}},
      {"anon_inode:[userfaultfd]",
       {Reason::kUserfaultfd, "uses userfaultfd, which CRIU cannot dump"}},
      {"anon_inode:seccomp notify",
       {Reason::kUnsupportedDescriptor,
        "supervises seccomp notifications, which CRIU cannot dump"}},
      {"anon_inode:[landlock-ruleset]",
       {Reason::kUnsupportedDescriptor, "holds a Landlock ruleset, which CRIU cannot dump"}},
      {"anon_inode:bpf-",
       {Reason::kUnsupportedDescriptor, "holds a BPF object, which CRIU cannot dump"}},
      {"anon_inode:[perf_event]",
       {Reason::kUnsupportedDescriptor, "holds a perf event, which CRIU cannot dump"}},
  };
  for (const Refused& refused : kRefused) {
    if (link.starts_with(refused.prefix)) return refused.reason;
  }
  return {};
}

Result<PreflightReport> Preflight(const jobs::CheckpointJob& job, const ResolvedPod& pod) {
  PreflightReport report;
  Reasons reasons;
  for (const DumpTarget& target : pod.targets) {
    CRYOPOD_RETURN_IF_ERROR(
        CheckContainer(target, report, reasons).While("container " + target.requested.name));
    CRYOPOD_ASSIGN_OR_RETURN(const TreeSize upper, MeasureTree(target.upper_dir));
    report.writable_bytes += upper.staged_bytes;
    CheckWritableLayer(target, upper, reasons);
  }
  CRYOPOD_ASSIGN_OR_RETURN(report.lacks, UncarriedContent(pod));
  if (!job.without_volumes) {
    for (const std::string& content : report.lacks) {
      reasons.Add(Reason::kContentNotCarried, NotCarried(content));
    }
  }
  CRYOPOD_RETURN_IF_ERROR(reasons.ToStatus());
  CRYOPOD_RETURN_IF_ERROR(CheckSpace(job, report));
  return report;
}

}  // namespace cryopod::checkpoint
