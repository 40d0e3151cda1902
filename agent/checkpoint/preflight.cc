#include "agent/checkpoint/preflight.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "agent/archive/tar/layer_entry.h"
#include "agent/checkpoint/external_files.h"
#include "agent/checkpoint/pod_content.h"
#include "agent/checkpoint/upper_copy.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/namespaces.h"
#include "agent/os/text.h"

namespace cryopod::checkpoint {
namespace {

// Left free on the archive's file system whatever happens: logs, the journal, other people's pods.
constexpr uint64_t kDiskReserveBytes = uint64_t{64} << 20;
constexpr size_t kStrangersNamed = 8;

// All of them in one; counted as the first one that lasts, which an exec session does not.
Status ToStatus(const std::vector<Objection>& objections) {
  if (objections.empty()) return Status();
  std::string text;
  for (size_t i = 0; i < objections.size(); ++i) {
    if (objections.size() > 1) text += (i == 0 ? "(" : " (") + std::to_string(i + 1) + ") ";
    text += objections[i].sentence;
  }
  const auto lasting = std::find_if(
      objections.begin(), objections.end(),
      [](const Objection& objection) { return objection.word != Reason::kExecSession; });
  if (lasting == objections.end()) return Status(Code::kAborted, text, Reason::kExecSession);
  return Status(Code::kFailedPrecondition, text, lasting->word);
}

// The kind of a namespace that the process is in, or puts its children in, and its container is
// not. Source: CRIU 4.2.1, criu/namespaces.c (generate_ns_id, which takes nested mount and network
// namespaces).
std::string NestedNamespace(pid_t pid, pid_t init) {
  static constexpr std::pair<const char*, const char*> kLinks[] = {
      {"cgroup", "cgroup"}, {"ipc", "ipc"}, {"pid", "pid"},   {"pid_for_children", "pid"},
      {"time", "time"},     {"uts", "uts"}, {"user", "user"}, {"time_for_children", "time"}};
  for (const auto& [link, type] : kLinks) {
    const Result<uint64_t> own = NamespaceInode(pid, link);
    const Result<uint64_t> of_container = NamespaceInode(init, type);
    if (own.ok() && of_container.ok() && *own != *of_container) return type;
  }
  return "";
}

void CheckProcess(const SeenProcess& seen, CgroupVersion cgroup, const std::string& container,
                  std::vector<Objection>& objections) {
  const ProcessInfo& process = seen.info;
  const std::string who = "container " + container + ": " + NameOf(process);
  const auto add = [&](Reason word, const std::string& what) {
    objections.push_back({word, who + what});
  };
  if (process.tracer_pid != 0 || process.state == 't') {
    add(Reason::kTraced,
        " is traced by PID " + std::to_string(process.tracer_pid) + "; end the debugger first");
  }
  // A frozen cgroup of version 2 is no hindrance: the kernel lets a tracer have its tasks.
  if (process.state == 'T' && cgroup == CgroupVersion::kV1) {
    add(Reason::kProcessStopped,
        " is stopped, and nobody can seize a stopped process that is frozen by a cgroup of version "
        "1; continue it or end it first");
  }
  std::set<std::string> told;
  for (const SeenProcess::Link& link : seen.links) {
    const Objection against = ReasonAgainstDescriptor(link.target);
    if (against.word == Reason::kNone || !told.insert(against.sentence).second) continue;
    add(against.word, " " + against.sentence);
  }
}

// Of what the container is made of, whatever runs in it.
Status CheckMakeUp(const DumpTarget& target, std::vector<Objection>& objections) {
  const std::string container = "container " + target.requested.name;
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t our_users, NamespaceInode(::getpid(), "user"));
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t our_pids, NamespaceInode(::getpid(), "pid"));
  const Result<uint64_t> users = NamespaceInode(target.state.init_pid, "user");
  if (users.ok() && *users != our_users) {
    objections.push_back({Reason::kUserNamespace,
                          container + " has a user namespace of its own, which no runtime can "
                                      "restore: run the pod with hostUsers: true"});
  }
  if (our_pids == target.pid_namespace) {
    objections.push_back(
        {Reason::kHostPid, container + " shares the node's PID namespace (hostPID: true); its PIDs "
                                       "would be taken elsewhere"});
  }
  if (!target.options.strangers.empty()) {
    objections.push_back(
        {Reason::kMount, container + " has mounts that a checkpoint would lose: " +
                             JoinFirst(target.options.strangers, kStrangersNamed, "; ", "; and ")});
  }
  if (!target.no_upper_dir.ok()) {
    objections.push_back({Reason::kMount, container + ": " + target.no_upper_dir.message()});
  }
  return Status();
}

Status CheckProcesses(const DumpTarget& target, PreflightReport& report,
                      std::vector<Objection>& objections) {
  const std::string container = "container " + target.requested.name;
  CRYOPOD_ASSIGN_OR_RETURN(std::vector<SeenProcess> processes, LookAtProcesses(target.cgroup));
  std::vector<ProcessInfo> infos;
  for (const SeenProcess& process : processes) {
    CheckProcess(process, target.cgroup.version(), target.requested.name, objections);
    const Result<uint64_t> bytes = DumpableBytes(process.info.pid);
    if (bytes.ok()) report.memory_bytes += *bytes;
    infos.push_back(process.info);
  }
  for (const ProcessInfo& stray : FindStrayProcesses(infos, target.state.init_pid)) {
    objections.push_back(
        {Reason::kExecSession,
         container + ": " + NameOf(stray) +
             " does not descend from the container's first process (an exec session, or an orphan"
             " of a pod that shares its PID namespace); let it end and try again"});
    // It is not dumped, and what a debugging tool holds for a moment is no reason that lasts.
    std::erase_if(processes,
                  [&stray](const SeenProcess& one) { return one.info.pid == stray.pid; });
  }
  for (const SeenProcess& process : processes) {
    const std::string type = NestedNamespace(process.info.pid, target.state.init_pid);
    if (type.empty()) continue;
    objections.push_back({Reason::kNestedNamespace, container + ": " + NameOf(process.info) +
                                                        " has made a namespace of its own (" +
                                                        type +
                                                        "), which CRIU cannot dump: end it first"});
  }
  Inspection inspection = InspectProcesses(target, processes);
  std::ranges::move(inspection.objections, std::back_inserter(objections));
  report.memory_bytes += inspection.images_bytes;
  NameExternalFiles(target.requested.name, FindExternalFiles(target, processes),
                    report.external_files);
  return Status();
}

// What the writer of an archive would refuse, because its reader does.
Status CheckWritableLayer(const DumpTarget& target, PreflightReport& report,
                          std::vector<Objection>& objections) {
  if (!target.no_upper_dir.ok()) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(const TreeSize upper, MeasureTree(target.upper_dir));
  report.writable_bytes += upper.staged_bytes;
  const auto add = [&](const Status& refused) {
    objections.push_back(
        {refused.reason(), "container " + target.requested.name + ": " + refused.message()});
  };
  for (const std::string& path : upper.device_nodes) add(archive::RefuseDeviceNode(path));
  if (upper.entries > archive::kLayerEntriesMax) add(archive::RefuseTooManyEntries());
  return Status();
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

Objection ReasonAgainstDescriptor(const std::string& link) {
  struct Refused {
    std::string_view prefix;
    Reason word;
    const char* what;
  };
  static constexpr Refused kRefused[] = {
      {"anon_inode:[io_uring]", Reason::kIoUring, "uses io_uring"},
      {"anon_inode:[userfaultfd]", Reason::kUserfaultfd, "uses userfaultfd"},
      {"anon_inode:seccomp notify", Reason::kUnsupportedDescriptor,
       "supervises seccomp notifications"},
      {"anon_inode:[landlock-ruleset]", Reason::kUnsupportedDescriptor, "holds a Landlock ruleset"},
      {"anon_inode:bpf-", Reason::kUnsupportedDescriptor, "holds a BPF object"},
      {"anon_inode:[perf_event]", Reason::kUnsupportedDescriptor, "holds a perf event"},
  };
  for (const auto& [prefix, word, what] : kRefused) {
    if (!link.starts_with(prefix)) continue;
    const char* const remedy = word == Reason::kIoUring ? "; turn it off in the application" : "";
    return {word, what + std::string(", which CRIU cannot dump") + remedy};
  }
  return {};
}

Result<PreflightReport> Preflight(const jobs::CheckpointJob& job, const ResolvedPod& pod) {
  PreflightReport report;
  std::vector<Objection> objections;
  for (const DumpTarget& target : pod.targets) {
    const std::string container = "container " + target.requested.name;
    CRYOPOD_RETURN_IF_ERROR(CheckMakeUp(target, objections).While(container));
    CRYOPOD_RETURN_IF_ERROR(CheckProcesses(target, report, objections).While(container));
    CRYOPOD_RETURN_IF_ERROR(CheckWritableLayer(target, report, objections).While(container));
  }
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<std::string> uncarried, UncarriedContent(pod));
  if (!job.without_volumes) {
    for (const std::string& content : uncarried) {
      objections.push_back({Reason::kContentNotCarried, NotCarried(content)});
    }
  }
  CRYOPOD_RETURN_IF_ERROR(ToStatus(objections));
  CRYOPOD_RETURN_IF_ERROR(CheckSpace(job, report));
  return report;
}

}  // namespace cryopod::checkpoint
