// cryopod-checkpoint: one checkpoint of one pod. Started by the agent in a session and a cgroup of
// its own, and able to finish without it. Links no gRPC: what CRI answered stands in the request.
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "agent/archive/store/archive_store.h"
#include "agent/checkpoint/archive_pod.h"
#include "agent/checkpoint/cancellation.h"
#include "agent/checkpoint/capture_pod.h"
#include "agent/checkpoint/external_files.h"
#include "agent/checkpoint/freeze_pod.h"
#include "agent/checkpoint/guard.h"
#include "agent/checkpoint/held_execs.h"
#include "agent/checkpoint/late_containers.h"
#include "agent/checkpoint/pod_content.h"
#include "agent/checkpoint/preflight.h"
#include "agent/checkpoint/prepare_dumps.h"
#include "agent/checkpoint/quiet_moment.h"
#include "agent/checkpoint/resolve_pod.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/job_events.h"
#include "agent/jobs/job_file.h"
#include "agent/jobs/kept_logs.h"
#include "agent/os/deadline.h"
#include "agent/os/file.h"
#include "agent/os/first_in_line.h"
#include "agent/os/log.h"

namespace cryopod::checkpoint {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// The budget for freezes ends it sooner, unless these are as short as the time between two births.
constexpr int kCaptureAttemptsMax = 12;
// A kubelet's shortest period is 1 s. What comes more seldom is not waited for: it leaves more time
// than a dump takes.
constexpr milliseconds kRhythm{1500};
// A leaf that has not frozen by then has a task that the kernel cannot stop.
constexpr seconds kFreezeTimeout{10};
// What a disk that is shared still takes.
constexpr uint64_t kArchiveBytesPerSecondMin = uint64_t{4} << 20;
constexpr seconds kArchiveTimeout{60};
// Publishing an archive whose blobs are written: syncs and a rename.
constexpr seconds kCommitTimeout{120};
constexpr seconds kKillTimeout{10};
// A probe's exec ends by itself; a session of a person does not.
constexpr seconds kExecPatience{3};
constexpr milliseconds kExecInterval{20};
// Whatever a dump takes: that of restore/runtime/exec.cc.
constexpr seconds kDoorsOpen{20};

uint64_t Microseconds(std::chrono::nanoseconds time) {
  using std::chrono::microseconds;
  return static_cast<uint64_t>(std::chrono::duration_cast<microseconds>(time).count());
}

// The act, from resolve to report: what its stages hand each other and what must be undone.
// Whatever fails, the pod runs on and nothing is left but logs, which are kept under
// <state dir>/logs/<operation id>/.
class Checkpoint {
 public:
  // `job_dir` is the operation's directory, `guard` was forked before any thread.
  Checkpoint(const jobs::CheckpointJob& job, const std::string& job_dir, Guard& guard,
             const jobs::EventLog& events)
      : job_(job),
        job_dir_(job_dir),
        guard_(guard),
        events_(events),
        deadline_(Deadline::After(seconds(job.timeout_s))) {}

  jobs::CheckpointResult Run() {
    result_.status =
        RunStages().While("checkpointing pod " + job_.pod_namespace + "/" + job_.pod_name);
    // One that was to stop and is still held.
    const Status let_go = LetGo();
    if (!let_go.ok()) Log(LogLevel::kError, "letting the pod go", {{"reason", let_go.message()}});
    return std::move(result_);
  }

 private:
  Status RunStages();
  Status Prepare();
  Status PassPreflight();
  Status WaitForQuiet(bool was_disturbed);
  void LetExecsIn();
  Status CaptureOnce(bool was_disturbed);
  Status Capture();
  Status NameTries(const Status& captured, int attempts) const;
  Status WriteJournal();
  Status LetGo();
  Deadline ArchiveDeadline() const;
  Status ArchiveAndCommit();
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
  archive::PodCheckpoint checkpoint_;
  std::optional<archive::ArchiveWriter> writer_;
  std::optional<StagingArea> staging_;
  std::vector<PreparedDump> dumps_;
  std::chrono::nanoseconds stood_still_{0};
  std::optional<ClosedDoors> doors_;
  std::unique_ptr<HeldExecs> held_execs_;
  // Last, so that it goes first: nothing else is torn down while the pod is frozen.
  std::optional<FrozenPod> frozen_;
};

void Checkpoint::Enter(const std::string& stage) {
  const auto now = Deadline::Clock::now();
  if (!stage_.empty()) result_.phases.push_back({stage_, Microseconds(now - stage_began_)});
  stage_ = stage;
  stage_began_ = now;
  if (!stage.empty()) events_.Append({stage, "", 0, 0});
}

Status Checkpoint::Prepare() {
  Enter("resolve");
  CRYOPOD_ASSIGN_OR_RETURN(StartedCriu started, StartedCriu::Start(job_));
  criu_.emplace(std::move(started));
  CRYOPOD_ASSIGN_OR_RETURN(pod_, ResolvePod(job_));
  Enter("preflight");
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(job_.store_root));
  CRYOPOD_ASSIGN_OR_RETURN(writer_, store.Create(job_.archive));
  CRYOPOD_RETURN_IF_ERROR(PassPreflight());
  // Before anything is frozen: whoever reads the log need not wait for the archive.
  for (const std::string& file : report_.external_files) {
    Log(LogLevel::kInfo, "a file is open that will not be in the archive", {{"file", file}});
  }
  CRYOPOD_ASSIGN_OR_RETURN(const criu::Version criu_version, criu_->Check());
  CRYOPOD_ASSIGN_OR_RETURN(const Machine machine, ReadMachine());
  checkpoint_ = DescribePod(job_, pod_, machine, criu_version.text());
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
    CRYOPOD_RETURN_IF_ERROR(CheckMayGoOn(deadline_));
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

Status Checkpoint::WaitForQuiet(bool was_disturbed) {
  if (was_disturbed) {
    CRYOPOD_RETURN_IF_ERROR(WaitForTheEndOfAnExec(pod_, deadline_.SoonerAfter(kRhythm)));
  }
  const Deadline patience = deadline_.SoonerAfter(kExecPatience);
  doors_.emplace(ClosedDoors::Of(pod_, job_.runtime_root, patience));
  held_execs_ = HeldExecs::Of(pod_, Deadline::After(kDoorsOpen));
  CRYOPOD_RETURN_IF_ERROR(held_execs_->WaitForThoseThatHadBegun(patience));
  return WaitUntilExecsHaveEnded(pod_, patience);
}

void Checkpoint::LetExecsIn() {
  doors_.reset();
  held_execs_.reset();
}

// From here to the thaw nothing happens that could happen before or after.
Status Checkpoint::CaptureOnce(bool was_disturbed) {
  CRYOPOD_ASSIGN_OR_RETURN(dumps_, PrepareDumps(*criu_, pod_, *staging_, deadline_));
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
  CRYOPOD_RETURN_IF_ERROR(WaitForQuiet(was_disturbed));
  const FirstInLine first_in_line;
  Enter("freeze");
  CRYOPOD_ASSIGN_OR_RETURN(
      FrozenPod frozen,
      FreezePod(pod_.targets, deadline_.SoonerAfter(kFreezeTimeout), stood_still_));
  frozen_.emplace(std::move(frozen));
  Enter("dump");
  CRYOPOD_RETURN_IF_ERROR(CapturePod(pod_, dumps_, *frozen_, births, deadline_, checkpoint_));
  CRYOPOD_RETURN_IF_ERROR(CheckNotCancelled());
  result_.lacks = checkpoint_.lacks;
  // What has come since preflight is refused like what was there.
  if (!job_.without_volumes && !result_.lacks.empty()) {
    return Status(Code::kFailedPrecondition, NotCarried(result_.lacks.front()),
                  Reason::kContentNotCarried);
  }
  return job_.stop_source ? Status() : LetGo();
}

Status Checkpoint::LetGo() {
  if (!frozen_) return Status();
  Enter("thaw");
  Status thawed = frozen_->Thaw();
  frozen_.reset();
  // The guard is dismissed by a thaw that was seen, and that no CRIU takes back when it ends: else
  // it goes on when we end, and so does the agent, by this word.
  const bool is_held =
      std::ranges::any_of(dumps_, [](const PreparedDump& dump) { return dump.criu.StillHolds(); });
  result_.may_be_frozen = !thawed.ok() || is_held;
  if (result_.may_be_frozen) return thawed;
  return guard_.Disarm();
}

Status Checkpoint::Capture() {
  const size_t phases_before = result_.phases.size();
  std::chrono::nanoseconds first_freeze{0};
  for (int attempt = 1;; ++attempt) {
    Status captured = CaptureOnce(attempt > 1);
    Status let_go = captured.ok() ? Status() : LetGo();
    if (!let_go.ok()) Log(LogLevel::kError, "letting the pod go", {{"reason", let_go.message()}});
    // An exec that meets a frozen container fails: a source that is held lets none in.
    if (!captured.ok() || !job_.stop_source) LetExecsIn();
    result_.freeze_us = Microseconds(stood_still_);
    if (captured.ok()) return captured;
    // Nobody can do with less than one.
    if (attempt == 1) first_freeze = stood_still_;
    if (captured.code() != Code::kAborted || attempt == kCaptureAttemptsMax ||
        stood_still_ - first_freeze >= milliseconds(job_.freeze_budget_ms) || deadline_.expired() ||
        result_.may_be_frozen) {
      jobs::KeepLogs(job_dir_, job_.state_dir, job_.operation_id);
      return NameTries(captured, attempt);
    }
    dumps_.clear();
    Enter("prepare");
    result_.phases.resize(phases_before);
    CRYOPOD_RETURN_IF_ERROR(PassPreflight());
  }
}

Status Checkpoint::NameTries(const Status& captured, int attempts) const {
  if (captured.code() != Code::kAborted || attempts == 1) return captured;
  return Status(captured.code(),
                captured.message() + "; " + std::to_string(attempts) +
                    " tries came to nothing, for which the pod stood still for " +
                    std::to_string(result_.freeze_us / 1000) + " ms",
                captured.reason());
}

// A pod that is held waits no longer than its caller said. One that runs on loses nothing by a slow
// disk, which is given the time that it needs.
Deadline Checkpoint::ArchiveDeadline() const {
  const uint64_t work_s = report_.StagingBytes() / kArchiveBytesPerSecondMin;
  const Deadline fits = Deadline::After(kArchiveTimeout + seconds(work_s));
  return job_.stop_source ? deadline_ : Deadline::At(std::max(fits.instant(), deadline_.instant()));
}

Status Checkpoint::ArchiveAndCommit() {
  Enter("archive");
  CRYOPOD_RETURN_IF_ERROR(CheckNoneIsLate(job_, pod_));
  for (PreparedDump& dump : dumps_) {
    dump.criu.Finish();
    const Result<criu::DumpStats> stats = criu::ReadDumpStats(dump.work_dir.get());
    if (stats.ok()) result_.dumps.push_back(*stats);
  }
  CRYOPOD_ASSIGN_OR_RETURN(
      const ArchivedPod archived,
      ArchivePod(job_, dumps_, checkpoint_, *writer_, events_, ArchiveDeadline()));
  for (const archive::ContainerCheckpoint& container : checkpoint_.containers) {
    result_.captured_bytes += container.images_bytes + container.rootfs_bytes;
    NameExternalFiles(container.name, container.external_files, result_.external_files);
  }
  checkpoint_.freeze_us = result_.freeze_us;
  CRYOPOD_RETURN_IF_ERROR(CheckNotCancelled());
  Enter("commit");
  checkpoint_.phases = result_.phases;
  // A source that is held must still be frozen when the archive becomes visible, and stay so.
  if (job_.stop_source) CRYOPOD_RETURN_IF_ERROR(guard_.Arm(Deadline::After(kCommitTimeout)));
  CRYOPOD_ASSIGN_OR_RETURN(
      const archive::Archive archive,
      std::move(*writer_).Commit(checkpoint_, archived.pod_metadata, archived.containers));
  result_.archive = archive.name();
  result_.digest = archive.digest();
  result_.size_bytes = archive.size_bytes();
  return Status();
}

// Killed while frozen, so that nothing of the source runs past the cut.
Status Checkpoint::KillSource() {
  Enter("stop");
  CRYOPOD_RETURN_IF_ERROR(guard_.Arm(Deadline::After(kCommitTimeout)));
  result_.freeze_us = Microseconds(stood_still_ + frozen_->FrozenFor());
  jobs::CheckpointResult decided = result_;
  decided.source_killed = true;
  CRYOPOD_RETURN_IF_ERROR(jobs::WriteFileOf(job_dir_, jobs::kStoppingFile, decided)
                              .While("deciding that the source stops"));
  // From here on whoever finishes this job kills: we, the guard, or the agent that repairs. Nobody
  // lets a container go on, whatever another one does.
  frozen_->Forget();
  frozen_.reset();
  result_.source_killed = true;
  std::vector<const Cgroup*> containers;
  containers.reserve(pod_.targets.size());
  for (const DumpTarget& target : pod_.targets) containers.push_back(&target.cgroup);
  const Status ended = KillEach(containers, Deadline::After(kKillTimeout));
  if (ended.ok()) return guard_.Disarm();
  // All of it was told, and runs nothing any more: what is left waits in the kernel, for a disk or
  // a server, and the runtime that removes the pod waits for that.
  Log(LogLevel::kWarning, "the source does not end yet", {{"reason", ended.message()}});
  return Status();
}

Status Checkpoint::RunStages() {
  CRYOPOD_RETURN_IF_ERROR(Prepare());
  CRYOPOD_RETURN_IF_ERROR(Capture());
  CRYOPOD_RETURN_IF_ERROR(ArchiveAndCommit());
  if (job_.stop_source) CRYOPOD_RETURN_IF_ERROR(KillSource());
  Enter("");
  return Status();
}

Status RunJob(const std::string& job_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd directory, OpenDirectory(job_dir));
  CRYOPOD_ASSIGN_OR_RETURN(const jobs::ProcessIdentity self, jobs::IdentifyProcess(::getpid()));
  CRYOPOD_RETURN_IF_ERROR(jobs::WriteFileOf(job_dir, jobs::kProcessFile, self));
  CRYOPOD_ASSIGN_OR_RETURN(const jobs::CheckpointJob job,
                           jobs::ReadFileOf<jobs::CheckpointJob>(job_dir, jobs::kRequestFile));
  const std::string pod = job.pod_namespace + "/" + job.pod_name;
  SetLogContext({{"operation", job.operation_id}, {"pod", pod}});
  // Before any thread exists.
  CRYOPOD_ASSIGN_OR_RETURN(Guard guard, Guard::Fork(directory.get()));
  CRYOPOD_ASSIGN_OR_RETURN(const jobs::EventLog events, jobs::EventLog::Open(job_dir));
  const jobs::CheckpointResult result = Checkpoint(job, job_dir, guard, events).Run();
  CRYOPOD_RETURN_IF_ERROR(jobs::WriteFileOf(job_dir, jobs::kResultFile, result).While("reporting"));
  return result.status;
}

}  // namespace
}  // namespace cryopod::checkpoint

int main(int argc, char** argv) {
  using namespace cryopod;
  if (argc != 3 || std::string(argv[1]) != "--job") {
    std::fprintf(stderr, "usage: cryopod-checkpoint --job DIRECTORY\n");
    return 2;
  }
  SetLogLevelFromEnvironment();
  ::signal(SIGPIPE, SIG_IGN);
  checkpoint::WatchForCancellation();
  ::umask(077);
  // A core of this process could hold pages of the pod.
  ::prctl(PR_SET_DUMPABLE, 0);
  const Status status = checkpoint::RunJob(argv[2]);
  if (status.ok()) return 0;
  Log(LogLevel::kError, "checkpoint failed", {{"reason", status.message()}});
  return 1;
}
