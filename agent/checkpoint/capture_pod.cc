#include "agent/checkpoint/capture_pod.h"

#include <atomic>
#include <set>
#include <string>
#include <thread>

#include "agent/checkpoint/cancellation.h"
#include "agent/checkpoint/pod_content.h"
#include "agent/checkpoint/watch_births.h"

namespace cryopod::checkpoint {
namespace {

Status FinishUpper(PreparedDump& dump, const GoOn& go_on) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::set<std::string> mapped,
                           SharedWritableFiles(dump.target->cgroup));
  return dump.upper.Finish(mapped, go_on);
}

// Why one container's dump or copy failed. What was given up for another one's sake says nothing.
Status WhyLost(const PreparedDump& dump, const Status& dumped, const Status& copied) {
  const std::string container = "container " + dump.target->requested.name;
  if (dumped.code() != Code::kCancelled && !dumped.ok())
    return dumped.While("dumping " + container);
  if (copied.code() == Code::kCancelled) return Status();
  return copied.While("taking the writable layer of " + container);
}

// Returns the content that is not carried. What fails anywhere, and a caller who gives the
// checkpoint up, ends the dumps of all containers: nothing that is lost is waited for.
Result<std::vector<std::string>> DumpAll(const ResolvedPod& pod, std::vector<PreparedDump>& dumps,
                                         const BirthWatch& births, const BirthMarks& before,
                                         Deadline deadline) {
  std::vector<Status> dumped(dumps.size());
  std::vector<Status> copied(dumps.size());
  Status undisturbed;
  RunningDumps running(dumps.size());
  Result<std::vector<std::string>> uncarried = std::vector<std::string>();
  std::atomic<bool> is_lost = false;
  const auto unwanted = [&is_lost] { return is_lost || !CheckNotCancelled().ok(); };
  const auto go_on = [&unwanted, deadline] {
    return unwanted() ? Status(Code::kCancelled, "given up") : CheckMayGoOn(deadline);
  };
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < dumps.size(); ++i) {
      threads.emplace_back([&, &dump = dumps[i], &status = dumped[i]] {
        status = dump.criu.Dump(deadline, unwanted);
        if (!status.ok()) is_lost = true;
        running.OneHasEnded();
      });
    }
    // On this thread: looking, and a copy of the few files that changed, take less time than any
    // dump.
    uncarried = UncarriedContent(pod);
    if (!uncarried.ok()) is_lost = true;
    for (size_t i = 0; i < dumps.size() && !is_lost; ++i) {
      copied[i] = FinishUpper(dumps[i], go_on);
      if (!copied[i].ok()) is_lost = true;
    }
    undisturbed = WatchForBirths(running, births, before, deadline, is_lost);
  }
  CRYOPOD_RETURN_IF_ERROR(std::move(undisturbed));
  for (size_t i = 0; i < dumps.size(); ++i) {
    CRYOPOD_RETURN_IF_ERROR(WhyLost(dumps[i], dumped[i], copied[i]));
  }
  CRYOPOD_RETURN_IF_ERROR(CheckNotCancelled());
  return std::move(uncarried).While("looking for content that is not carried");
}

// The capture is lost: what is left is to say why.
Status NameUndumped(const std::vector<PreparedDump>& dumps, const Status& unfrozen) {
  std::string names;
  for (const PreparedDump& dump : dumps) {
    const Result<std::vector<criu::DumpedProcess>> processes =
        criu::ReadPstree(dump.images_dir.get());
    if (!processes.ok()) continue;
    const std::string undumped = DescribeUndumped(*dump.target, *processes);
    if (!undumped.empty()) names += "; container " + dump.target->requested.name + ": " + undumped;
  }
  return Status(unfrozen.code(), unfrozen.message() + names, unfrozen.reason());
}

// Returns who was dumped. What cannot be read is CRIU's own word of just now: nobody's archive is
// damaged.
Result<std::vector<criu::DumpedProcess>> ReadCapture(const PreparedDump& dump,
                                                     archive::ContainerCheckpoint& container) {
  Result<std::vector<criu::DumpedProcess>> processes = criu::ReadPstree(dump.images_dir.get());
  if (!processes.ok()) return Status(Code::kInternal, processes.status().message());
  Result<std::vector<RecordLock>> locks = criu::ReadRecordLocks(dump.images_dir.get());
  if (!locks.ok()) return Status(Code::kInternal, locks.status().message());
  if (locks->size() > archive::kRecordLocksMax) {
    return Status(Code::kFailedPrecondition, "its processes hold " + std::to_string(locks->size()) +
                                                 " record locks, more than the " +
                                                 std::to_string(archive::kRecordLocksMax) +
                                                 " that an archive can hold");
  }
  container.processes = static_cast<uint32_t>(processes->size());
  container.record_locks = std::move(*locks);
  container.rootfs_bytes = dump.upper.bytes();
  return processes;
}

}  // namespace

Status CapturePod(const ResolvedPod& pod, std::vector<PreparedDump>& dumps, const FrozenPod& frozen,
                  const BirthWatch& births, Deadline deadline, archive::PodCheckpoint& checkpoint) {
  CRYOPOD_RETURN_IF_ERROR(CheckUnchanged(pod));
  CRYOPOD_ASSIGN_OR_RETURN(const BirthMarks before, births.Read(deadline));
  CRYOPOD_ASSIGN_OR_RETURN(checkpoint.lacks, DumpAll(pod, dumps, births, before, deadline));
  // Twice: what was born may keep the pod from freezing again, and with that its end.
  CRYOPOD_RETURN_IF_ERROR(births.CheckNothingWasBorn(before, deadline));
  const Status again = frozen.WaitFrozenAgain(deadline);
  if (!again.ok()) return NameUndumped(dumps, again);
  CRYOPOD_RETURN_IF_ERROR(births.CheckNothingWasBorn(before, deadline));
  for (size_t i = 0; i < dumps.size(); ++i) {
    archive::ContainerCheckpoint& container = checkpoint.containers[i];
    CRYOPOD_ASSIGN_OR_RETURN(
        const std::vector<criu::DumpedProcess> dumped,
        ReadCapture(dumps[i], container).While("reading the dump of container " + container.name));
    CRYOPOD_ASSIGN_OR_RETURN(container.tasks, CheckMembers(*dumps[i].target, dumped));
  }
  return Status();
}

}  // namespace cryopod::checkpoint
