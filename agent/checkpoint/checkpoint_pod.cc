#include "agent/checkpoint/checkpoint_pod.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "agent/checkpoint/archive_pod.h"
#include "agent/checkpoint/cancellation.h"
#include "agent/checkpoint/capture_pod.h"
#include "agent/checkpoint/external_files.h"
#include "agent/checkpoint/freeze_pod.h"
#include "agent/checkpoint/pod_content.h"
#include "agent/checkpoint/preflight.h"
#include "agent/checkpoint/prepare_dumps.h"
#include "agent/checkpoint/resolve_pod.h"
#include "agent/checkpoint/start_criu.h"
#include "agent/jobs/job_file.h"
#include "agent/jobs/kept_logs.h"
#include "agent/os/log.h"
#include "agent/os/machine.h"

namespace cryopod::checkpoint {
namespace {

using std::chrono::seconds;

constexpr int kCaptureAttemptsMax = 5;
// A leaf that has not frozen by then has a task that the kernel cannot stop.
constexpr seconds kFreezeTimeout{10};
// Publishing an archive whose blobs are written: syncs and a rename.
constexpr seconds kCommitTimeout{120};
constexpr seconds kKillTimeout{10};
// A probe's exec ends by itself; a session of a person does not.
constexpr seconds kExecPatience{3};
constexpr std::chrono::milliseconds kExecInterval{20};

// One run of the stages: what they hand each other and what must be undone.
class Checkpoint {
 public:
  Checkpoint(const jobs::CheckpointJob& job, const std::string& job_dir, Guard& guard,
             const jobs::EventLog& events)
      : job_(job),
        job_dir_(job_dir),
        guard_(guard),
        events_(events),
        deadline_(Deadline::After(seconds(job.timeout_s))) {}

  Status Run();
  jobs::CheckpointResult TakeResult() { return std::move(result_); }

 private:
  Status Prepare();
  Status PassPreflight();
  void TellExternalFiles() const;
  Status CaptureOnce();
  Status CheckCarried();
  Status Capture();
  Status WriteJournal();
  Status LetGo();
  Status ArchiveAndCommit();
  Status DecideStop();
  Status KillSource();
  void Enter(const std::string& stage);

  const jobs::CheckpointJob& job_;
  const std::string job_dir_;
  Guard& guard_;
  const jobs::EventLog& events_;
  const Deadline deadline_;

  std::string stage_;
  Deadline::Clock::time_point stage_began_ = Deadline::Clock::now();
  jobs::CheckpointResult result_;
  std::optional<StartedCriu> criu_;
  ResolvedPod pod_;
  PreflightReport report_;
  archive::NodeFacts node_;
  std::optional<archive::ArchiveWriter> writer_;
  std::optional<StagingArea> staging_;
  std::vector<PreparedDump> dumps_;
  CapturedPod captured_;
  // Last, so that it goes first: nothing else is torn down while the pod is frozen.
  std::optional<FrozenPod> frozen_;
};

void Checkpoint::Enter(const std::string& stage) {
  const auto now = Deadline::Clock::now();
  if (!stage_.empty()) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now - stage_began_);
    result_.phases.push_back({stage_, static_cast<uint64_t>(us.count())});
  }
  stage_ = stage;
  stage_began_ = now;
  if (!stage.empty()) events_.Append({stage, "", 0, 0});
}

Status Checkpoint::Prepare() {
  Enter("resolve");
  CRYOPOD_ASSIGN_OR_RETURN(
      StartedCriu criu,
      StartedCriu::Start(job_.criu_program, job_.criu_tools_dir, job_.containers.size()));
  criu_.emplace(std::move(criu));
  CRYOPOD_ASSIGN_OR_RETURN(pod_, ResolvePod(job_));
  Enter("preflight");
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(job_.store_root));
  CRYOPOD_ASSIGN_OR_RETURN(archive::ArchiveWriter writer, store.Create(job_.archive));
  writer_.emplace(std::move(writer));
  CRYOPOD_RETURN_IF_ERROR(PassPreflight());
  TellExternalFiles();
  CRYOPOD_ASSIGN_OR_RETURN(const criu::Version criu_version, criu_->Check());
  CRYOPOD_ASSIGN_OR_RETURN(Machine machine, ReadMachine());
  node_.architecture = std::move(machine.architecture);
  node_.kernel = std::move(machine.kernel);
  node_.cpu_flags = std::move(machine.cpu_flags);
  node_.cpu = std::move(machine.cpu);
  node_.cgroup_version = pod_.targets.front().cgroup.version() == CgroupVersion::kV2 ? "v2" : "v1";
  node_.criu_version = criu_version.text();
  node_.runtime_name = job_.runtime_name;
  node_.runtime_version = job_.runtime_version;
  Enter("prepare");
  CRYOPOD_ASSIGN_OR_RETURN(StagingArea staging,
                           StagingArea::Create(job_dir_ + "/" + jobs::kStagingDirectory,
                                               job_.state_dir + "/staging/" + job_.operation_id,
                                               report_.StagingBytes()));
  staging_.emplace(std::move(staging));
  return Status();
}

Status Checkpoint::PassPreflight() {
  const Deadline patience = deadline_.SoonerAfter(kExecPatience);
  while (true) {
    CRYOPOD_RETURN_IF_ERROR(CheckNotCancelled());
    Result<PreflightReport> report = Preflight(job_, pod_);
    if (report.ok()) {
      report_ = std::move(report).value();
      return Status();
    }
    if (report.status().code() != Code::kAborted) return report.status();
    if (patience.expired()) {
      return Status(Code::kFailedPrecondition, report.status().message(), report.status().reason());
    }
    std::this_thread::sleep_for(kExecInterval);
  }
}

// Before anything is frozen: whoever reads the log need not wait for the archive.
void Checkpoint::TellExternalFiles() const {
  for (const std::string& file : report_.external_files) {
    Log(LogLevel::kInfo, "a file is open that will not be in the archive", {{"file", file}});
  }
}

Status Checkpoint::WriteJournal() {
  jobs::Journal journal;
  for (const DumpTarget& target : pod_.targets) {
    journal.cgroups.push_back(target.cgroup.path());
    journal.inits.push_back({target.state.init_pid, target.state.init_start_ticks});
  }
  for (const PreparedDump& dump : dumps_) {
    CRYOPOD_ASSIGN_OR_RETURN(const jobs::ProcessIdentity criu,
                             jobs::IdentifyProcess(dump.criu.pid()));
    journal.criu.push_back(criu);
  }
  if (!staging_->in_memory()) journal.disk_staging = staging_->path();
  return jobs::WriteFileOf(job_dir_, jobs::kJournalFile, journal);
}

// From here to the thaw nothing happens that could happen before or after.
Status Checkpoint::CaptureOnce() {
  CRYOPOD_ASSIGN_OR_RETURN(std::vector<criu::CriuProcess> crius, criu_->Take());
  CRYOPOD_ASSIGN_OR_RETURN(dumps_, PrepareDumps(std::move(crius), pod_, *staging_));
  CRYOPOD_RETURN_IF_ERROR(WriteJournal().While("writing the journal"));
  for (const DumpTarget& target : pod_.targets) {
    CRYOPOD_RETURN_IF_ERROR(guard_.Watch(target.cgroup));
  }
  for (const PreparedDump& dump : dumps_) {
    CRYOPOD_RETURN_IF_ERROR(guard_.WatchCriu(dump.criu.pidfd()));
  }
  CRYOPOD_RETURN_IF_ERROR(CheckNotCancelled());
  CRYOPOD_ASSIGN_OR_RETURN(const BirthWatch births, BirthWatch::Begin(pod_, deadline_));
  CRYOPOD_RETURN_IF_ERROR(guard_.Arm(deadline_));
  Enter("freeze");
  CRYOPOD_ASSIGN_OR_RETURN(FrozenPod frozen,
                           FreezePod(pod_.targets, deadline_.SoonerAfter(kFreezeTimeout)));
  frozen_.emplace(std::move(frozen));
  Enter("dump");
  CRYOPOD_ASSIGN_OR_RETURN(captured_, CapturePod(pod_, dumps_, *frozen_, births, deadline_));
  CRYOPOD_RETURN_IF_ERROR(CheckNotCancelled());
  CRYOPOD_RETURN_IF_ERROR(CheckCarried());
  if (job_.stop_source) return Status();
  return LetGo();
}

// What has come since preflight is refused like what was there.
Status Checkpoint::CheckCarried() {
  result_.lacks = captured_.uncarried;
  if (job_.without_volumes || result_.lacks.empty()) return Status();
  return Status(Code::kFailedPrecondition, NotCarried(result_.lacks.front()),
                Reason::kContentNotCarried);
}

Status Checkpoint::LetGo() {
  Enter("thaw");
  if (!frozen_) return Status();
  const auto frozen_for = frozen_->FrozenFor();
  Status thawed = frozen_->Thaw();
  frozen_.reset();
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(frozen_for).count();
  // A capture that was discarded stood still too.
  result_.freeze_us = std::max(result_.freeze_us, static_cast<uint64_t>(us));
  Status kept = guard_.Disarm();
  return thawed.ok() ? kept : thawed;
}

Status Checkpoint::Capture() {
  const size_t phases_before = result_.phases.size();
  for (int attempt = 1;; ++attempt) {
    Status captured = CaptureOnce();
    if (captured.ok()) return captured;
    Status let_go = LetGo();
    if (!let_go.ok()) Log(LogLevel::kError, "letting the pod go", {{"reason", let_go.message()}});
    if (captured.code() != Code::kAborted || attempt == kCaptureAttemptsMax ||
        deadline_.expired()) {
      jobs::KeepLogs(job_dir_, job_.state_dir, job_.operation_id);
      return captured;
    }
    dumps_.clear();
    Enter("prepare");
    result_.phases.resize(phases_before);
    CRYOPOD_RETURN_IF_ERROR(PassPreflight());
  }
}

Status Checkpoint::ArchiveAndCommit() {
  Enter("archive");
  for (PreparedDump& dump : dumps_) {
    dump.criu.Finish();
    const Result<criu::DumpStats> stats = criu::ReadDumpStats(dump.work_dir.get());
    if (stats.ok()) result_.dumps.push_back(*stats);
  }
  CRYOPOD_ASSIGN_OR_RETURN(ArchivedPod archived,
                           ArchivePod(job_, pod_, dumps_, captured_.containers, node_, *writer_,
                                      [this](uint64_t done, uint64_t total) {
                                        events_.Append({"archive", "", done, total});
                                      }));
  result_.captured_bytes = archived.captured_bytes;
  for (const archive::ContainerCheckpoint& container : archived.checkpoint.containers) {
    for (std::string& file : NameExternalFiles(container.name, container.external_files)) {
      result_.external_files.push_back(std::move(file));
    }
  }
  archived.checkpoint.lacks = result_.lacks;
  archived.checkpoint.freeze_us = result_.freeze_us;
  CRYOPOD_RETURN_IF_ERROR(CheckNotCancelled());
  Enter("commit");
  archived.checkpoint.phases = result_.phases;
  // A source that is held must still be frozen when the archive becomes visible, and stay so.
  if (job_.stop_source) CRYOPOD_RETURN_IF_ERROR(guard_.Arm(Deadline::After(kCommitTimeout)));
  CRYOPOD_ASSIGN_OR_RETURN(
      const archive::Archive archive,
      std::move(*writer_).Commit(archived.checkpoint, archived.pod_metadata, archived.containers));
  result_.archive = archive.name();
  result_.digest = archive.digest();
  result_.size_bytes = archive.size_bytes();
  return Status();
}

// From here on whoever finishes this job kills: the guard, or the agent that repairs.
Status Checkpoint::DecideStop() {
  jobs::CheckpointResult decided = result_;
  decided.source_killed = true;
  return jobs::WriteFileOf(job_dir_, jobs::kStoppingFile, decided);
}

// Killed while frozen, so that nothing of the source runs past the cut.
Status Checkpoint::KillSource() {
  Enter("stop");
  CRYOPOD_RETURN_IF_ERROR(guard_.Arm(Deadline::After(kCommitTimeout)));
  result_.freeze_us = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(frozen_->FrozenFor()).count());
  CRYOPOD_RETURN_IF_ERROR(DecideStop().While("deciding that the source stops"));
  for (const DumpTarget& target : pod_.targets) {
    CRYOPOD_RETURN_IF_ERROR(target.cgroup.Kill(Deadline::After(kKillTimeout))
                                .While("stopping container " + target.requested.name));
  }
  frozen_->Forget();
  frozen_.reset();
  result_.source_killed = true;
  return guard_.Disarm();
}

Status Checkpoint::Run() {
  CRYOPOD_RETURN_IF_ERROR(Prepare());
  CRYOPOD_RETURN_IF_ERROR(Capture());
  CRYOPOD_RETURN_IF_ERROR(ArchiveAndCommit());
  if (job_.stop_source) CRYOPOD_RETURN_IF_ERROR(KillSource());
  Enter("");
  return Status();
}

}  // namespace

jobs::CheckpointResult CheckpointPod(const jobs::CheckpointJob& job, const std::string& job_dir,
                                     Guard& guard, const jobs::EventLog& events) {
  Checkpoint checkpoint(job, job_dir, guard, events);
  const Status status =
      checkpoint.Run().While("checkpointing pod " + job.pod_namespace + "/" + job.pod_name);
  jobs::CheckpointResult result = checkpoint.TakeResult();
  result.status = status;
  return result;
}

}  // namespace cryopod::checkpoint
