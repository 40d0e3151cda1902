#include "agent/checkpoint/capture_pod.h"

#include <set>
#include <thread>

#include "agent/archive/oci/pod_checkpoint.h"
#include "agent/checkpoint/check_members.h"
#include "agent/checkpoint/newcomers.h"
#include "agent/checkpoint/pod_content.h"
#include "agent/checkpoint/resolve_pod.h"
#include "agent/checkpoint/shared_mappings.h"

namespace cryopod::checkpoint {
namespace {

Status FinishUpper(PreparedDump& dump) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::set<std::string> mapped,
                           SharedWritableFiles(dump.target->cgroup));
  return dump.upper.Finish(mapped);
}

// Returns the content that is not carried.
Result<std::vector<std::string>> DumpAll(const ResolvedPod& pod, std::vector<PreparedDump>& dumps,
                                         Deadline deadline) {
  std::vector<Status> dumped(dumps.size());
  std::vector<Status> copied(dumps.size());
  Result<std::vector<std::string>> uncarried = std::vector<std::string>();
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < dumps.size(); ++i) {
      threads.emplace_back(
          [&dump = dumps[i], &status = dumped[i], deadline] { status = dump.criu.Dump(deadline); });
    }
    // On this thread: looking, and a copy of the few files that changed, take less time than any
    // dump.
    uncarried = UncarriedContent(pod);
    for (size_t i = 0; i < dumps.size(); ++i) copied[i] = FinishUpper(dumps[i]);
  }
  for (size_t i = 0; i < dumps.size(); ++i) {
    const std::string container = "container " + dumps[i].target->requested.name;
    CRYOPOD_RETURN_IF_ERROR(std::move(dumped[i]).While("dumping " + container));
    CRYOPOD_RETURN_IF_ERROR(
        std::move(copied[i]).While("taking the writable layer of " + container));
  }
  return std::move(uncarried).While("looking for content that is not carried");
}

Status CheckNothingWasBornSince(const BirthMarks& before, const BirthWatch& births,
                                const ResolvedPod& pod, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const BirthMarks now, births.Read(deadline));
  const Status born = CheckNothingWasBorn(before, now);
  if (born.ok()) return born;
  return Status(born.code(), born.message() + ": " + DescribeBorn(pod.targets, before, now),
                born.reason());
}

// The capture is lost: what is left is to say why.
Status NameUndumped(const std::vector<PreparedDump>& dumps, const Status& unfrozen) {
  std::string names;
  for (const PreparedDump& dump : dumps) {
    const Result<std::vector<criu::DumpedProcess>> processes =
        criu::ReadPstree(dump.images_dir.get());
    if (!processes.ok()) continue;
    std::set<pid_t> dumped;
    for (const criu::DumpedProcess& process : *processes) {
      dumped.insert(process.threads.begin(), process.threads.end());
    }
    const std::string undumped = DescribeUndumped(*dump.target, dumped);
    if (!undumped.empty()) names += "; container " + dump.target->requested.name + ": " + undumped;
  }
  return Status(unfrozen.code(), unfrozen.message() + names, unfrozen.reason());
}

Result<CapturedContainer> ReadCapture(const PreparedDump& dump) {
  CapturedContainer captured;
  Result<std::vector<criu::DumpedProcess>> processes = criu::ReadPstree(dump.images_dir.get());
  // It is CRIU's own word of just now: nobody's archive is damaged.
  if (!processes.ok()) return Status(Code::kInternal, processes.status().message());
  captured.processes = std::move(processes).value();
  Result<std::vector<criu::RecordLock>> locks = criu::ReadRecordLocks(dump.images_dir.get());
  if (!locks.ok()) return Status(Code::kInternal, locks.status().message());
  captured.record_locks = std::move(locks).value();
  if (captured.record_locks.size() > archive::kRecordLocksMax) {
    return Status(Code::kFailedPrecondition,
                  "its processes hold " + std::to_string(captured.record_locks.size()) +
                      " record locks, more than the " + std::to_string(archive::kRecordLocksMax) +
                      " that an archive can hold");
  }
  captured.rootfs_bytes = dump.upper.bytes();
  return captured;
}

}  // namespace

Result<CapturedPod> CapturePod(const ResolvedPod& pod, std::vector<PreparedDump>& dumps,
                               const FrozenPod& frozen, const BirthWatch& births,
                               Deadline deadline) {
  CRYOPOD_RETURN_IF_ERROR(CheckUnchanged(pod));
  CRYOPOD_ASSIGN_OR_RETURN(const BirthMarks before, births.Read(deadline));
  CapturedPod captured;
  CRYOPOD_ASSIGN_OR_RETURN(captured.uncarried, DumpAll(pod, dumps, deadline));
  // Twice: what was born may keep the pod from freezing again, and with that its end.
  CRYOPOD_RETURN_IF_ERROR(CheckNothingWasBornSince(before, births, pod, deadline));
  const Status again = frozen.WaitFrozenAgain(deadline);
  if (!again.ok()) return NameUndumped(dumps, again);
  CRYOPOD_RETURN_IF_ERROR(CheckNothingWasBornSince(before, births, pod, deadline));
  for (const PreparedDump& dump : dumps) {
    const std::string container = "container " + dump.target->requested.name;
    CRYOPOD_ASSIGN_OR_RETURN(CapturedContainer part,
                             ReadCapture(dump).While("reading the dump of " + container));
    CRYOPOD_ASSIGN_OR_RETURN(part.tasks, CheckMembers(*dump.target, part.processes));
    captured.containers.push_back(std::move(part));
  }
  return captured;
}

}  // namespace cryopod::checkpoint
