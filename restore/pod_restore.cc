#include "restore/pod_restore.h"

#include <algorithm>
#include <utility>

#include "agent/criu/plugin/check_plugin.h"
#include "agent/jobs/job_file.h"
#include "agent/os/log.h"
#include "restore/check_node.h"
#include "restore/restore_container.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/container_marks.h"

namespace cryopod::restore {
namespace {

using std::chrono::seconds;
using wrapper::Answer;

constexpr seconds kCheckTimeout{20};
// Below the time that the kubelet gives a `create`, which may have to wait for it.
constexpr seconds kStageTimeout{100};
constexpr char kNameInArchive[] = "a container name in the archive";

}  // namespace

PodRestore::PodRestore(jobs::RestoreJob job, std::string job_dir)
    : job_(std::move(job)), job_dir_(std::move(job_dir)) {}

PodRestore::~PodRestore() = default;

bool PodRestore::IsUnderWay(const jobs::ContainerReport& container) {
  return container.phase == jobs::Phase::kRestoring || container.phase == jobs::Phase::kRestored;
}

bool PodRestore::IsHeld(const jobs::ContainerReport& container) {
  return container.phase == jobs::Phase::kHeld;
}

bool PodRestore::Runs(const jobs::ContainerReport& container) {
  return container.phase == jobs::Phase::kStarted || container.phase == jobs::Phase::kColdStarted;
}

bool PodRestore::IsUntouched() const {
  return std::ranges::none_of(report_.containers, [](const jobs::ContainerReport& container) {
    return IsUnderWay(container) || IsHeld(container) || Runs(container);
  });
}

void PodRestore::AdoptContainer(jobs::ContainerReport& container) {
  // It ended before it could say that it had let it run.
  if (container.phase == jobs::Phase::kRestored && WasRestored(container)) {
    container.phase = jobs::Phase::kHeld;
  }
  // Whose `start` has not been answered by then has failed for its caller.
  const bool is_unheard = IsHeld(container) && wrapper::ReadRestoredMark(container.state_dir).ok();
  if (Runs(container) || (IsHeld(container) && (!is_unheard || WasRestored(container)))) return;
  if (container.phase == jobs::Phase::kRestored && VerifyAlive(container).ok()) return;
  if (IsUnderWay(container) || is_unheard) EndAttempt(container);
  container.phase = jobs::Phase::kWaiting;
}

void PodRestore::Adopt(const jobs::Report& left) {
  report_.containers = left.containers;
  for (jobs::ContainerReport& container : report_.containers) AdoptContainer(container);
  // The time to hold it has passed while nobody watched.
  static_cast<void>(ReleaseHeld().ok());
  Save();
}

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
  CRYOPOD_ASSIGN_OR_RETURN(lease_, LeaseArchiveOf(job_));
  CRYOPOD_ASSIGN_OR_RETURN(archive::Archive archive, OpenArchiveOf(job_));
  CRYOPOD_RETURN_IF_ERROR(
      CheckNode(archive.checkpoint(), job_.criu_program, Deadline::After(kCheckTimeout)));
  hold_plugin_ =
      criu::CheckHoldPlugin(job_.hold_plugin, job_.criu_program, Deadline::After(kCheckTimeout));
  for (const archive::FinishedContainer& finished : archive.checkpoint().finished) {
    CRYOPOD_RETURN_IF_ERROR(wrapper::CheckComponent(finished.name, kNameInArchive));
    finished_.insert(finished.name);
  }
  for (const archive::ContainerParts& parts : archive.containers()) {
    CRYOPOD_RETURN_IF_ERROR(wrapper::CheckComponent(parts.name, kNameInArchive));
    if (!FindContainer(parts.name).ok()) Add(parts.name);
  }
  CRYOPOD_ASSIGN_OR_RETURN(const archive::UnpackLimits limits, StagingLimits(archive.checkpoint()));
  if (!staging_) {
    CRYOPOD_ASSIGN_OR_RETURN(
        StagingArea area,
        StagingArea::Create(job_.staging_dir, DiskStagingPath(), limits.bytes_max));
    staging_.emplace(std::move(area));
  }
  archive_.emplace(std::move(archive));
  return Status();
}

void PodRestore::Add(const std::string& name) {
  jobs::ContainerReport& container = report_.containers.emplace_back();
  container.name = name;
  // By an earlier process, which was killed after that.
  if (WasRestored(container)) container.phase = jobs::Phase::kColdStarted;
}

wrapper::OnceRecord PodRestore::OnceRecordOf() const {
  return {job_.archive,      job_.pod_uid,           job_.pod_namespace, job_.pod_name,
          job_.restore_from, job_.restore_operation, job_.operation_id,  ""};
}

// Also of an archive that does not ask for it itself: a pod that did may have been restored from
// it.
Status PodRestore::CheckOnce() const {
  return wrapper::CheckOnce(job_.state_dir, archive_->digest(), OnceRecordOf());
}

// What has failed is tried again with every request: an archive can be pulled, a CRIU installed.
Status PodRestore::Prepare() {
  const bool is_in_use = std::ranges::any_of(report_.containers, [](const auto& container) {
    return container.phase == jobs::Phase::kRestoring;
  });
  if (reopen_archive_ && !is_in_use) archive_.reset();
  if (!archive_.has_value()) reopen_archive_ = false;
  const bool checked = archive_.has_value();
  Status status = checked ? Status() : Check().While("restoring from archive " + job_.archive);
  if (status.ok()) status = CheckOnce();
  if (checked && status.ok() && report_.error.ok()) return status;
  report_.stage = status.ok() ? jobs::Stage::kStaging : jobs::Stage::kFailed;
  report_.error = status;
  Save();
  return status;
}

// What is damaged may be replaced, so nothing keeps it; what was staged of it is as good as ever.
void PodRestore::NoteArchive(const Status& failure, bool somebody_hears) {
  if (failure.code() == Code::kDataLoss || failure.code() == Code::kNotFound) {
    LetGoOfArchive(somebody_hears);
  }
}

// Whoever makes the pod as a deliberate act reads the report, and ends what it has begun.
void PodRestore::LetGoOfArchive(bool somebody_hears) {
  lease_.Reset();
  reopen_archive_ = true;
  over_ = somebody_hears && IsUntouched() && job_.restore_operation.empty();
}

bool PodRestore::HasWork() const {
  if (report_.stage == jobs::Stage::kFailed) return false;
  if (!archive_.has_value()) return report_.stage == jobs::Stage::kChecking;
  return std::ranges::any_of(report_.containers, [](const jobs::ContainerReport& container) {
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
    if (!staged.ok()) {
      NoteArchive(staged, false);
      Failed(container, staged);
    }
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
  if (!container.state_dir.empty()) {
    static_cast<void>(wrapper::RemoveHeldMark(container.state_dir).ok());
  }
}

Answer PodRestore::GiveUp(jobs::ContainerReport& container, const Status& why) {
  EndAttempt(container);
  return Failed(container, why);
}

bool PodRestore::finished() const {
  return asked_ && !report_.containers.empty() && std::ranges::all_of(report_.containers, Runs);
}

void PodRestore::End() {
  static_cast<void>(ReleaseHeld().ok());
  for (jobs::ContainerReport& container : report_.containers) {
    if (!IsUnderWay(container) && !IsHeld(container)) continue;
    GiveUp(container, Status(Code::kAborted, "the restore was ended before this container ran",
                             Reason::kCancelled));
  }
  staging_.reset();
  const Status removed = StagingArea::RemoveLeftovers(job_.staging_dir, DiskStagingPath());
  if (!removed.ok()) {
    Log(LogLevel::kError, "removing the staging area", {{"reason", removed.message()}});
  }
  asked_ = true;
  report_.stage = finished() ? jobs::Stage::kRestored : jobs::Stage::kAbandoned;
  Save();
}

}  // namespace cryopod::restore
