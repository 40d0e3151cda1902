#include "restore/pod_restore.h"

#include <algorithm>
#include <utility>

#include "agent/jobs/job_file.h"
#include "agent/os/log.h"
#include "restore/check_node.h"
#include "restore/end_restore.h"
#include "restore/open_archive.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/container_marks.h"
#include "restore/verify_container.h"

namespace cryopod::restore {
namespace {

using std::chrono::seconds;
using wrapper::Answer;

constexpr seconds kCheckTimeout{20};
// Below the time that the kubelet gives a `create`, which may have to wait for it.
constexpr seconds kStageTimeout{100};

bool Runs(const jobs::ContainerReport& container) {
  return container.phase == jobs::Phase::kStarted || container.phase == jobs::Phase::kColdStarted;
}

bool IsStartedOrHeld(const jobs::ContainerReport& container) {
  return Runs(container) || container.phase == jobs::Phase::kHeld;
}

}  // namespace

PodRestore::PodRestore(jobs::RestoreJob job, std::string job_dir)
    : job_(std::move(job)), job_dir_(std::move(job_dir)) {}

PodRestore::~PodRestore() = default;

void PodRestore::Save() {
  const Status written = jobs::WriteFileOf(job_dir_, jobs::kStateFile, report_);
  if (!written.ok()) {
    Log(LogLevel::kWarning, "writing the restore's state", {{"reason", written.message()}});
  }
}

std::string PodRestore::DiskStagingPath() const {
  return job_.state_dir + "/staging/" + job_.operation_id;
}

Status PodRestore::Check() {
  CRYOPOD_ASSIGN_OR_RETURN(archive::Archive archive, OpenArchiveOf(job_));
  CRYOPOD_RETURN_IF_ERROR(
      CheckNode(archive.checkpoint(), job_.criu_program, Deadline::After(kCheckTimeout)));
  for (const archive::FinishedContainer& finished : archive.checkpoint().finished) {
    CRYOPOD_RETURN_IF_ERROR(
        wrapper::CheckComponent(finished.name, "a container name in the archive"));
  }
  for (const archive::ContainerParts& parts : archive.containers()) {
    CRYOPOD_RETURN_IF_ERROR(wrapper::CheckComponent(parts.name, "a container name in the archive"));
    if (!FindContainer(parts.name).ok()) {
      jobs::ContainerReport container;
      container.name = parts.name;
      report_.containers.push_back(std::move(container));
    }
  }
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t bytes, StagingBytes(archive.checkpoint()));
  CRYOPOD_ASSIGN_OR_RETURN(StagingArea area,
                           StagingArea::Create(job_.staging_dir, DiskStagingPath(), bytes));
  staging_.emplace(std::move(area));
  archive_.emplace(std::move(archive));
  return Status();
}

// What has failed is tried again with every request: an archive can be pulled, a CRIU installed.
Status PodRestore::Prepare() {
  if (archive_.has_value()) return Status();
  Status status = Check().While("restoring from archive " + job_.archive);
  report_.stage = status.ok() ? jobs::Stage::kStaging : jobs::Stage::kFailed;
  report_.error = status;
  Save();
  return status;
}

bool PodRestore::HasWork() const {
  if (!archive_.has_value()) return report_.stage == jobs::Stage::kChecking;
  return std::any_of(report_.containers.begin(), report_.containers.end(),
                     [](const jobs::ContainerReport& container) {
                       return container.phase == jobs::Phase::kWaiting;
                     });
}

void PodRestore::Work() {
  if (!archive_.has_value()) {
    static_cast<void>(Prepare().ok());
    return;
  }
  for (jobs::ContainerReport& container : report_.containers) {
    if (container.phase != jobs::Phase::kWaiting) continue;
    const Status staged = EnsureStaged(container);
    if (!staged.ok()) Failed(container, staged);
    break;
  }
  if (!HasWork() && report_.stage == jobs::Stage::kStaging) report_.stage = jobs::Stage::kServing;
  Save();
}

// Images serve every attempt until one succeeds: CRIU only reads them. So staging that took longer
// than one `create` may wait is not lost for the next.
Status PodRestore::EnsureStaged(jobs::ContainerReport& container) {
  if (!staged_.contains(container.name)) {
    CRYOPOD_RETURN_IF_ERROR(
        StageContainer(job_, *archive_, container.name, *staging_, Deadline::After(kStageTimeout)));
    staged_.insert(container.name);
  }
  container.phase = jobs::Phase::kStaged;
  container.reason.clear();
  container.reason_code = Reason::kNone;
  return Status();
}

Result<jobs::ContainerReport*> PodRestore::FindContainer(const std::string& name) {
  for (jobs::ContainerReport& container : report_.containers) {
    if (container.name == name) return &container;
  }
  if (archive_.has_value()) return archive_->FindContainer(name).status();
  return Status(Code::kNotFound, "no container " + name);
}

// Nothing of a container that the archive does not hold.
const archive::ContainerCheckpoint& PodRestore::RecordOf(const std::string& container) const {
  static const archive::ContainerCheckpoint kNone;
  if (!archive_.has_value()) return kNone;
  for (const archive::ContainerCheckpoint& entry : archive_->checkpoint().containers) {
    if (entry.name == container) return entry;
  }
  return kNone;
}

Answer PodRestore::Failed(jobs::ContainerReport& container, const Status& why) {
  container.phase = jobs::Phase::kFailed;
  container.reason = why.message();
  container.reason_code = why.reason();
  Log(LogLevel::kError, "a container was not restored",
      {{"container", container.name}, {"reason", why.message()}});
  Save();
  return Answer::Fail(why.message());
}

void PodRestore::EndAttempt(jobs::ContainerReport& container) {
  constexpr seconds kEndTimeout{10};
  const Status ended = EndRestore(container, Deadline::After(kEndTimeout));
  if (!ended.ok()) {
    Log(LogLevel::kError, "ending an attempt",
        {{"container", container.name}, {"reason", ended.message()}});
  }
  container.pid = 0;
  work_dirs_.erase(container.name);
}

// What they hold is in the processes now, and memory of the node twice. A container that is deleted
// before it starts is staged again.
void PodRestore::DropImages(const jobs::ContainerReport& container) {
  if (staging_.has_value()) staging_->RemoveInBackground(container.name);
  staged_.erase(container.name);
}

void PodRestore::ReleaseHeld() {
  for (jobs::ContainerReport& container : report_.containers) {
    if (container.phase != jobs::Phase::kHeld) continue;
    const Status released = wrapper::ReleaseHeld(container.state_dir);
    // Without a mark an exec has let it run already.
    if (!released.ok() && released.code() != Code::kNotFound) {
      Log(LogLevel::kError, "letting a held container run",
          {{"container", container.name}, {"reason", released.message()}});
    }
    container.phase = jobs::Phase::kStarted;
  }
  hold_end_.reset();
  barrier_open_ = true;
  if (finished()) report_.stage = jobs::Stage::kRestored;
  Save();
}

bool PodRestore::finished() const {
  return !report_.containers.empty() &&
         std::all_of(report_.containers.begin(), report_.containers.end(), Runs);
}

Answer PodRestore::OnStart(const wrapper::Request& request) {
  const Result<jobs::ContainerReport*> found = FindContainer(request.container_name);
  if (!found.ok()) return Answer::Fail(found.status().message());
  jobs::ContainerReport& container = **found;
  if (container.id != request.container_id) {
    return Answer::Fail("container " + request.container_id + " is not the one that was restored");
  }
  if (IsStartedOrHeld(container)) return Answer::Pass();
  if (container.phase != jobs::Phase::kRestored) {
    return Answer::Fail("container " + container.name + " is " +
                        std::string(jobs::PhaseName(container.phase)) + ", not restored");
  }
  const Status consumed = Consume(request, container);
  if (!consumed.ok()) {
    EndAttempt(container);
    return Failed(container, consumed);
  }
  container.phase = jobs::Phase::kHeld;
  Save();
  if (archive_.has_value() && IsAllConsumed()) ConsumeFinished();
  if (!hold_end_.has_value()) hold_end_ = Deadline::After(job_.hold);
  const bool all =
      std::all_of(report_.containers.begin(), report_.containers.end(), IsStartedOrHeld);
  if (all || barrier_open_) ReleaseHeld();
  return Answer::Pass();
}

// The record is durable before anything can run. The mark comes first: with both in place a wrapper
// that gets no answer can let the processes run by itself.
Status PodRestore::Consume(const wrapper::Request& request, jobs::ContainerReport& container) {
  CRYOPOD_RETURN_IF_ERROR(VerifyAlive(container));
  container.state_dir = request.state_dir;
  CRYOPOD_RETURN_IF_ERROR(wrapper::WriteHeldMark(container.state_dir, container.cgroup_dir));
  Status written =
      wrapper::WriteConsumed(job_.state_dir, job_.pod_uid, container.name,
                             {job_.restore_from, job_.restore_operation, job_.operation_id, ""});
  if (!written.ok()) static_cast<void>(wrapper::RemoveHeldMark(container.state_dir).ok());
  return written;
}

Answer PodRestore::OnDeleted(const wrapper::Request& request) {
  const Result<jobs::ContainerReport*> found = FindContainer(request.container_name);
  if (!found.ok() || (*found)->id != request.container_id) return Answer::Pass();
  jobs::ContainerReport& container = **found;
  if (container.phase == jobs::Phase::kRestored) {
    EndAttempt(container);
    container.phase = jobs::Phase::kWaiting;
    Save();
  }
  return Answer::Pass();
}

void PodRestore::End() {
  ReleaseHeld();
  for (jobs::ContainerReport& container : report_.containers) {
    if (container.phase == jobs::Phase::kRestoring || container.phase == jobs::Phase::kRestored) {
      EndAttempt(container);
      Failed(container, Status(Code::kAborted, "the restore was ended before this container ran",
                               Reason::kCancelled));
    }
  }
  staging_.reset();
  const Status removed = StagingArea::RemoveLeftovers(job_.staging_dir, DiskStagingPath());
  if (!removed.ok()) {
    Log(LogLevel::kError, "removing the staging area", {{"reason", removed.message()}});
  }
  report_.stage = finished() ? jobs::Stage::kRestored : jobs::Stage::kAbandoned;
  Save();
}

}  // namespace cryopod::restore
