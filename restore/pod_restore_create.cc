// The part of PodRestore that answers `create`.
#include <algorithm>
#include <utility>

#include "agent/os/log.h"
#include "agent/os/subprocess.h"
#include "restore/adapt_mounts.h"
#include "restore/apply_rootfs.h"
#include "restore/container_cgroup.h"
#include "restore/external_files.h"
#include "restore/memory/fill_memory.h"
#include "restore/mounts/restored_mounts.h"
#include "restore/pod_restore.h"
#include "restore/record_locks.h"
#include "restore/restore_container.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/verify_container.h"

namespace cryopod::restore {
namespace {

using std::chrono::seconds;
using wrapper::Answer;
using wrapper::Request;

constexpr seconds kApplyTimeout{90};
constexpr seconds kAdaptTimeout{30};
constexpr seconds kHostnameTimeout{5};
constexpr seconds kMountsTimeout{10};
// The kubelet's time for a `create` bounds it as well.
constexpr seconds kFillTimeout{60};

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

bool PodRestore::HadFinished(const std::string& container) const {
  const std::vector<archive::FinishedContainer>& finished = archive_->checkpoint().finished;
  return std::any_of(finished.begin(), finished.end(),
                     [&](const archive::FinishedContainer& one) { return one.name == container; });
}

bool PodRestore::IsAllConsumed() const {
  return std::all_of(
      report_.containers.begin(), report_.containers.end(),
      [this](const jobs::ContainerReport& container) { return IsConsumed(container); });
}

// As long as anything of the pod may still be restored: what it would do again, it would do to what
// is restored.
Answer PodRestore::OnCreateFinished(const std::string& container) {
  if (IsAllConsumed()) {
    ConsumeFinished();
    return Answer::Pass();
  }
  Log(LogLevel::kInfo, "a container that had finished before the checkpoint is not run again",
      {{"container", container}});
  return Answer::Finished();
}

// From here on the pod starts cold like any other, also without us. After the last container's own
// record: the other way round, a node that fails in between would run an init container and then
// restore.
void PodRestore::ConsumeFinished() {
  for (const archive::FinishedContainer& finished : archive_->checkpoint().finished) {
    const Status written =
        wrapper::WriteConsumed(job_.state_dir, job_.pod_uid, finished.name,
                               {job_.restore_from, job_.restore_operation, job_.operation_id, ""});
    if (!written.ok()) Log(LogLevel::kError, written.message(), {{"container", finished.name}});
  }
}

bool PodRestore::IsConsumed(const jobs::ContainerReport& container) const {
  Request request;
  request.pod_uid = job_.pod_uid;
  request.container_name = container.name;
  request.restore_from = job_.restore_from;
  request.restore_operation = job_.restore_operation;
  const Result<bool> consumed = wrapper::IsConsumed(job_.state_dir, request);
  return consumed.ok() && *consumed;
}

Answer PodRestore::OnSandbox(const Request& request) {
  Status status = CheckRequest(request);
  if (status.ok()) status = Prepare();
  return status.ok() ? Answer::Pass() : Answer::Fail(status.message());
}

Answer PodRestore::OnCreate(const Request& request) {
  Status status = CheckRequest(request);
  if (status.ok()) status = Prepare();
  if (!status.ok()) return Answer::Fail(status.message());
  if (HadFinished(request.container_name)) return OnCreateFinished(request.container_name);
  const Result<jobs::ContainerReport*> found = FindContainer(request.container_name);
  if (!found.ok()) return Answer::Fail(found.status().message());
  jobs::ContainerReport& container = **found;

  if (IsConsumed(container)) {
    if (container.phase != jobs::Phase::kHeld && container.phase != jobs::Phase::kStarted) {
      container.phase = jobs::Phase::kColdStarted;
      container.id = request.container_id;
      if (finished()) report_.stage = jobs::Stage::kRestored;
      Save();
    }
    return Answer::Pass();
  }
  // An earlier attempt whose container was deleted without a word.
  if (container.phase == jobs::Phase::kRestoring || container.phase == jobs::Phase::kRestored) {
    EndAttempt(container);
    container.phase = jobs::Phase::kWaiting;
  }
  Result<wrapper::Plan> plan = BeginAttempt(request, container);
  if (!plan.ok()) return Failed(container, plan.status());
  return Answer::Restore(std::move(*plan));
}

// With the root file system in place: destinations lead through its symlinks.
Status PodRestore::AdaptImages(const Request& request, const jobs::ContainerReport& container) {
  const LiveMounts& live = mounts_[container.name];
  CRYOPOD_RETURN_IF_ERROR(
      CheckExternalFiles(RecordOf(container.name), live)
          .While("restoring container " + container.name + " from archive " + job_.archive));
  const Status adapted =
      AdaptToRemadeMounts(job_, *archive_, request, live, staging_->PathOf(container.name),
                          Deadline::After(kAdaptTimeout));
  // Half rewritten they are of no use.
  if (!adapted.ok()) staged_.erase(container.name);
  return adapted;
}

Result<wrapper::Plan> PodRestore::BeginAttempt(const Request& request,
                                               jobs::ContainerReport& container) {
  container.id = request.container_id;
  container.state_dir = request.state_dir;
  container.rootfs = request.rootfs;
  container.pid = 0;
  container.start_time_ticks = 0;
  // Before the archive's files lie in the root file system: what its programs may is the image's.
  CRYOPOD_ASSIGN_OR_RETURN(contexts_[container.name],
                           ReadSecurityContext(request.bundle, request.rootfs));
  CRYOPOD_ASSIGN_OR_RETURN(mounts_[container.name], ReadLiveMounts(request.bundle, request.rootfs));
  CRYOPOD_ASSIGN_OR_RETURN(container.cgroup_dir, CgroupDirectoryOf(request.cgroups_path));
  CRYOPOD_RETURN_IF_ERROR(EnsureStaged(container));
  CRYOPOD_RETURN_IF_ERROR(
      ApplyRootfs(job_, *archive_, container.name, request.rootfs, Deadline::After(kApplyTimeout)));
  CRYOPOD_RETURN_IF_ERROR(AdaptImages(request, container));
  CRYOPOD_RETURN_IF_ERROR(RememberHostname(request, container, Deadline::After(kHostnameTimeout)));
  CRYOPOD_ASSIGN_OR_RETURN(
      wrapper::Plan plan,
      PrepareAttempt(job_dir_, job_.operation_id, staging_->PathOf(container.name), container.name,
                     ++attempts_[container.name]));
  // The one that Check() has asked; the wrapper has another PATH.
  CRYOPOD_ASSIGN_OR_RETURN(plan.criu, FindProgram(job_.criu_program));
  work_dirs_[container.name] = plan.work_dir;
  container.phase = jobs::Phase::kRestoring;
  Save();
  return plan;
}

Status PodRestore::Judge(jobs::ContainerReport& container, const wrapper::Outcome& outcome) {
  if (!outcome.restored) {
    return ReasonOf(outcome, work_dirs_[container.name])
        .While("restoring container " + container.name + " from archive " + job_.archive);
  }
  const std::string doing =
      "restoring container " + container.name + " from archive " + job_.archive;
  container.pid = static_cast<pid_t>(outcome.pid);
  CRYOPOD_RETURN_IF_ERROR(VerifyRestored(container, RecordOf(container.name).tasks));
  CRYOPOD_RETURN_IF_ERROR(
      CheckRestoredCredentials(contexts_[container.name], container.cgroup_dir, container.pid)
          .While(doing));
  CRYOPOD_RETURN_IF_ERROR(CheckRestoredMounts(mounts_[container.name], container.cgroup_dir,
                                              Deadline::After(kMountsTimeout))
                              .While(doing));
  CRYOPOD_ASSIGN_OR_RETURN(
      const uint64_t filled,
      FillMemory(container, staging_->PathOf(container.name), Deadline::After(kFillTimeout))
          .While(doing));
  if (filled > 0) {
    Log(LogLevel::kInfo, "memory was filled",
        {{"container", container.name}, {"bytes", std::to_string(filled)}});
  }
  // Whom the kernel killed for memory is missing now.
  CRYOPOD_RETURN_IF_ERROR(VerifyRestored(container, RecordOf(container.name).tasks).While(doing));
  CRYOPOD_RETURN_IF_ERROR(
      SetLostLocks(container.pid, container.cgroup_dir, RecordOf(container.name).record_locks)
          .While(doing));
  return PutHostnameBack(container, Deadline::After(kHostnameTimeout));
}

jobs::ContainerReport* PodRestore::FindAttempt(const std::string& container_id) {
  for (jobs::ContainerReport& container : report_.containers) {
    if (container.phase == jobs::Phase::kRestoring && container.id == container_id)
      return &container;
  }
  return nullptr;
}

Answer PodRestore::OnOutcome(const std::string& container_id, const wrapper::Outcome& outcome) {
  jobs::ContainerReport* const container = FindAttempt(container_id);
  if (container == nullptr) return Answer::Fail("a newer attempt has taken the place of this one");
  const Status judged = Judge(*container, outcome);
  if (!judged.ok()) {
    EndAttempt(*container);
    return Failed(*container, judged);
  }
  work_dirs_.erase(container->name);
  DropImages(*container);
  container->phase = jobs::Phase::kRestored;
  Log(LogLevel::kInfo, "a container was restored",
      {{"container", container->name}, {"pid", std::to_string(container->pid)}});
  Save();
  return Answer::Pass();
}

void PodRestore::OnWrapperGone(const std::string& container_id) {
  jobs::ContainerReport* const container = FindAttempt(container_id);
  if (container == nullptr) return;
  EndAttempt(*container);
  Failed(*container,
         Status(Code::kAborted, "the runtime ended while it restored container " + container->name,
                Reason::kRuntimeFailed));
}

}  // namespace cryopod::restore
