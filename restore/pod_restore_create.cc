// The part of PodRestore that answers `create`.
#include <algorithm>
#include <utility>

#include "agent/os/log.h"
#include "agent/os/record_locks.h"
#include "agent/os/subprocess.h"
#include "agent/os/text.h"
#include "restore/adapt_mounts.h"
#include "restore/apply_rootfs.h"
#include "restore/compare_request.h"
#include "restore/container_cgroup.h"
#include "restore/external_files.h"
#include "restore/live_rules.h"
#include "restore/memory/fill_memory.h"
#include "restore/mounts/mount_rules.h"
#include "restore/pod_restore.h"
#include "restore/restore_container.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/shared_pids.h"

namespace cryopod::restore {
namespace {

using std::chrono::seconds;
using wrapper::Answer;
using wrapper::Request;

constexpr seconds kApplyTimeout{90};
// The content of a tmpfs is read in it: some 5 s a GiB, a third of what tar takes afterwards.
constexpr seconds kAdaptTimeout{60};
constexpr seconds kHostnameTimeout{5};
constexpr seconds kMountsTimeout{10};
// The kubelet's time for a `create` bounds it as well.
constexpr seconds kFillTimeout{60};
// The kubelet's time for a `create`, after which its wrapper is killed.
constexpr seconds kAttemptTimeout{120};

}  // namespace

Status PodRestore::CheckRequest(const Request& request) const {
  if (request.pod_uid != job_.pod_uid) {
    return Status(Code::kInvalidArgument, "this restore is for the pod with UID " + job_.pod_uid +
                                              ", not " + request.pod_uid);
  }
  if (request.restore_from != job_.restore_from) {
    return Status(Code::kFailedPrecondition, "the pod is being restored from " + job_.restore_from +
                                                 ", not from " + request.restore_from);
  }
  return Status();
}

// As long as anything of the pod may still be restored: what it would do again, it would do to what
// is restored. From then on its record says so, also without us; what an older version has recorded
// says nothing of it.
Answer PodRestore::OnCreateFinished(const Request& request) {
  if (std::ranges::all_of(report_.containers, Runs)) return Answer::Pass();
  if (request.cold_start) {
    const Status written = wrapper::WriteSkipped(job_.state_dir, request);
    if (!written.ok()) return Answer::Fail(written.message());
  }
  replaced_.insert(request.container_name);
  Log(LogLevel::kInfo, "a container that had finished before the checkpoint is not run again",
      {{"container", request.container_name}});
  return Answer::Finished();
}

// The wrapper knows it as well, unless the record was written a moment ago.
Answer PodRestore::OnCreateConsumed(const Request& request, wrapper::Due due) {
  if (due == wrapper::Due::kFinish) {
    const Status written = wrapper::WriteReplaced(job_.state_dir, request);
    return written.ok() ? Answer::Finished() : Answer::Fail(written.message());
  }
  const Result<jobs::ContainerReport*> found = FindContainer(request.container_name);
  if (found.ok() && !IsHeld(**found) && (*found)->phase != jobs::Phase::kStarted) {
    (*found)->phase = jobs::Phase::kColdStarted;
    (*found)->id = request.container_id;
    if (finished()) report_.stage = jobs::Stage::kRestored;
    Save();
  }
  return Answer::Pass();
}

// Injected by a mutating webhook, or an ephemeral container: nothing in a request tells them apart.
// One more beside a pod that runs is like one beside any pod.
Answer PodRestore::OnCreateUnknown(const Request& request, const Status& why) const {
  if (std::ranges::all_of(report_.containers, Runs)) return Answer::Pass();
  return Refused(Status(why.code(),
                        why.message() + "; beside a pod that is restored, container " +
                            request.container_name + " can be made once that runs",
                        why.reason()));
}

Answer PodRestore::OnSandbox(const Request& request) {
  asked_ = true;
  over_ = false;
  Status status = CheckRequest(request);
  if (!status.ok()) return Refused(status);
  status = Prepare();
  if (status.ok()) return Answer::Pass();
  LetGoOfArchive(true);
  return Refused(status);
}

// Nothing of the container is touched. What is restored of the pod already cannot go on beside what
// starts cold.
Answer PodRestore::Refused(const Status& why) const {
  return IsUntouched() ? Answer::Refuse(why) : Answer::Fail(why.message());
}

Answer PodRestore::OnCreate(const Request& request) {
  const Result<wrapper::Due> due = wrapper::DueOf(job_.state_dir, request);
  if (!due.ok()) return Answer::Fail(due.status().message());
  Answer as_sandbox = OnSandbox(request);
  if (as_sandbox.decision != Answer::Decision::kPass) return as_sandbox;
  if (*due != wrapper::Due::kRestore) return OnCreateConsumed(request, *due);
  if (finished_.contains(request.container_name)) return OnCreateFinished(request);
  const Result<jobs::ContainerReport*> found = FindContainer(request.container_name);
  if (!found.ok()) return OnCreateUnknown(request, found.status());
  jobs::ContainerReport& container = **found;

  // An earlier attempt whose container was deleted without a word.
  if (IsUnderWay(container) || IsHeld(container)) {
    EndAttempt(container);
    container.phase = jobs::Phase::kWaiting;
  }
  const Status examined = Examine(request, container);
  if (!examined.ok()) {
    NoteArchive(examined, true);
    Failed(container, examined);
    return Refused(examined);
  }
  Result<wrapper::Plan> plan = BeginAttempt(request, container);
  if (!plan.ok()) {
    NoteArchive(plan.status(), true);
    return Failed(container, plan.status());
  }
  return Answer::Restore(std::move(*plan));
}

// With the root file system in place: destinations lead through its symlinks.
Status PodRestore::AdaptImages(const Request& request, const Attempt& attempt) {
  const std::string& name = request.container_name;
  CRYOPOD_RETURN_IF_ERROR(
      CheckExternalFiles(RecordOf(archive_->checkpoint(), name), attempt.mounts)
          .While("restoring container " + name + " from archive " + job_.archive));
  criu::LiveRules rules = LiveRulesOf(attempt.context, attempt.mounts, request);
  rules.wakes_stopped = hold_plugin_.message();
  Status adapted = AdaptToRequest(job_, *archive_, request, attempt.mounts, rules,
                                  staging_->PathOf(name), Deadline::After(kAdaptTimeout));
  // Half rewritten they are of no use.
  if (!adapted.ok()) staged_.erase(name);
  return adapted;
}

// All that can be said before anything of the container is touched.
Status PodRestore::Examine(const Request& request, jobs::ContainerReport& container) {
  Attempt& attempt = attempts_[container.name];
  container.id = request.container_id;
  container.state_dir = request.state_dir;
  container.rootfs = request.rootfs;
  container.pid = 0;
  container.start_time_ticks = 0;
  const Result<json::Value> read = ReadLiveConfig(request.bundle);
  // It is no word on the archive, whatever its code says elsewhere.
  if (!read.ok()) return Status(read.status().code(), read.status().message(), Reason::kInternal);
  const json::Value& config = *read;
  CRYOPOD_ASSIGN_OR_RETURN(
      const std::vector<std::string> differences,
      CompareRequest(RecordOf(archive_->checkpoint(), container.name), request,
                     archive::DescribeProgram(config))
          .While("restoring container " + container.name + " from archive " + job_.archive));
  attempt.remark = Join(differences, "; ");
  if (!differences.empty()) {
    Log(LogLevel::kWarning, "the request differs from what was checkpointed",
        {{"container", container.name}, {"differs", attempt.remark}});
  }
  // Before the archive's files lie in the root file system: what its programs may is the image's.
  attempt.context =
      SecurityContextOf(config, CapabilitiesOfProgram(request.rootfs, FirstProgramOf(config)));
  attempt.mounts = LiveMountsOf(config, request.rootfs);
  CRYOPOD_RETURN_IF_ERROR(
      CheckLiveFilters(attempt.context, request)
          .While("restoring container " + container.name + " from archive " + job_.archive));
  return EnsureStaged(container);
}

Result<wrapper::Plan> PodRestore::BeginAttempt(const Request& request,
                                               jobs::ContainerReport& container) {
  Attempt& attempt = attempts_[container.name];
  CRYOPOD_ASSIGN_OR_RETURN(container.cgroup_dir, CgroupDirectoryOf(request.cgroups_path));
  CRYOPOD_RETURN_IF_ERROR(
      ApplyRootfs(job_, *archive_, container.name, request.rootfs, Deadline::After(kApplyTimeout)));
  CRYOPOD_RETURN_IF_ERROR(AdaptImages(request, attempt));
  CRYOPOD_RETURN_IF_ERROR(RememberHostname(request, container, Deadline::After(kHostnameTimeout)));
  CRYOPOD_ASSIGN_OR_RETURN(
      wrapper::Plan plan,
      PrepareAttempt(job_dir_, staging_->PathOf(container.name), container.name, ++attempt.number));
  // The one that Check() has asked; the wrapper has another PATH.
  CRYOPOD_ASSIGN_OR_RETURN(plan.criu, FindProgram(job_.criu_program));
  if (hold_plugin_.ok()) {
    CRYOPOD_RETURN_IF_ERROR(
        PrepareHold(job_.hold_plugin, container.cgroup_dir,
                    RecordOf(archive_->checkpoint(), container.name).record_locks, plan));
  }
  attempt.work_dir = plan.work_dir;
  const auto shared = request.namespace_paths.find("pid");
  CRYOPOD_RETURN_IF_ERROR(
      CheckNobodyMayTrace(shared == request.namespace_paths.end() ? "" : shared->second)
          .While("restoring container " + container.name + " from archive " + job_.archive));
  attempt.end = Deadline::After(kAttemptTimeout);
  container.phase = jobs::Phase::kRestoring;
  Save();
  return plan;
}

// Whether what was restored may run; what CRIU leaves out is put into it on the way.
Status PodRestore::Complete(jobs::ContainerReport& container, const Attempt& attempt) {
  const archive::ContainerCheckpoint& record = RecordOf(archive_->checkpoint(), container.name);
  CRYOPOD_RETURN_IF_ERROR(
      CheckRestoredCredentials(attempt.context, container.cgroup_dir, container.pid));
  CRYOPOD_RETURN_IF_ERROR(
      CheckRestoredMounts(attempt.mounts, container.cgroup_dir, Deadline::After(kMountsTimeout)));
  CRYOPOD_ASSIGN_OR_RETURN(
      const uint64_t filled,
      FillMemory(container, staging_->PathOf(container.name), Deadline::After(kFillTimeout)));
  if (filled > 0) {
    Log(LogLevel::kInfo, "memory was filled",
        {{"container", container.name}, {"bytes", std::to_string(filled)}});
  }
  // Whom the kernel killed for memory is missing now.
  CRYOPOD_RETURN_IF_ERROR(VerifyRestored(container, record.tasks));
  CRYOPOD_ASSIGN_OR_RETURN(const size_t locks,
                           SetLostLocks(container.pid, container.cgroup_dir, record.record_locks));
  if (locks > 0) {
    Log(LogLevel::kInfo, "record locks that CRIU had lost were set again",
        {{"container", container.name}, {"locks", std::to_string(locks)}});
  }
  return Status();
}

// With the plugin in CRIU the processes cannot tell that they were held.
void PodRestore::RemarkHold(const jobs::ContainerReport& container, Attempt& attempt) const {
  if (container.frozen) return;
  const std::string why = hold_plugin_.ok() ? "its runtime keeps CRIU out of the container's cgroup"
                                            : hold_plugin_.message();
  const std::string remark = "held by stop signals, which its processes can see: " + why;
  Log(LogLevel::kWarning, "a container is held by stop signals",
      {{"container", container.name}, {"reason", why}});
  attempt.remark += (attempt.remark.empty() ? "" : "; ") + remark;
}

Status PodRestore::Judge(jobs::ContainerReport& container, const wrapper::Outcome& outcome) {
  Attempt& attempt = attempts_[container.name];
  const std::string doing =
      "restoring container " + container.name + " from archive " + job_.archive;
  if (!outcome.restored) return ReasonOf(outcome, attempt.work_dir).While(doing);
  container.pid = static_cast<pid_t>(outcome.pid);
  CRYOPOD_RETURN_IF_ERROR(
      VerifyRestored(container, RecordOf(archive_->checkpoint(), container.name).tasks));
  RemarkHold(container, attempt);
  // Before the rest, which takes its time: the pod's other containers may run and ask for it.
  CRYOPOD_RETURN_IF_ERROR(PutHostnameBack(container, Deadline::After(kHostnameTimeout)));
  return Complete(container, attempt).While(doing);
}

jobs::ContainerReport* PodRestore::FindAttempt(const std::string& container_id) {
  for (jobs::ContainerReport& container : report_.containers) {
    if (container.phase == jobs::Phase::kRestoring && container.id == container_id) {
      return &container;
    }
  }
  return nullptr;
}

Answer PodRestore::OnOutcome(const std::string& container_id, const wrapper::Outcome& outcome) {
  jobs::ContainerReport* const container = FindAttempt(container_id);
  if (container == nullptr) return Answer::Fail("a newer attempt has taken the place of this one");
  const Status judged = Judge(*container, outcome);
  if (!judged.ok()) return GiveUp(*container, judged);
  // What the images hold is in the processes now, and memory of the node twice. A container that is
  // deleted before it starts is staged again.
  staging_->RemoveInBackground(container->name);
  staged_.erase(container->name);
  container->phase = jobs::Phase::kRestored;
  Log(LogLevel::kInfo, "a container was restored",
      {{"container", container->name}, {"pid", std::to_string(container->pid)}});
  Save();
  return Answer::Pass();
}

void PodRestore::OnWrapperGone(const std::string& container_id) {
  jobs::ContainerReport* const container = FindAttempt(container_id);
  if (container == nullptr) return;
  GiveUp(*container,
         Status(Code::kAborted, "the runtime ended while it restored container " + container->name,
                Reason::kRuntimeFailed));
}

}  // namespace cryopod::restore
