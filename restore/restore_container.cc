#include "restore/restore_container.h"

#include <fcntl.h>

#include <thread>
#include <vector>

#include "agent/criu/criu_log.h"
#include "agent/criu/plugin/plugin_contract.h"
#include "agent/jobs/job_file.h"
#include "agent/jobs/kept_logs.h"
#include "agent/os/cgroup.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/namespaces.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"
#include "restore/runtime/protocol/interrupted_restore.h"

namespace cryopod::restore {
namespace {

constexpr char kOptionsFile[] = "criu.conf";
// leave-stopped: SIGSTOP is the last thing that CRIU does to a process, so none has run when the
// runtime reports success. tcp-close: the addresses of the new pod are others. None of them is set
// by the runtime's request, which would outrank this file.
constexpr char kOptions[] = "leave-stopped\ntcp-close\n";
constexpr char kHoldOptionsFile[] = "hold.conf";
constexpr char kHoldOptions[] = "tcp-close\nlibdir ";
constexpr char kRecordLocksFile[] = "record_locks";
// CRIU has let them go a moment ago.
constexpr std::chrono::seconds kFreezeTimeout{10};

// A wrapper's end closes its connection a moment before the runtime below it, and CRIU below that,
// are killed: what they still fork is caught by looking again.
constexpr int kRounds = 3;
constexpr std::chrono::milliseconds kPause{50};

Status KillProcesses(const std::string& cgroup_dir, Deadline deadline) {
  Status first;
  for (int round = 0; round < kRounds; ++round) {
    if (round > 0) std::this_thread::sleep_for(kPause);
    if (cgroup_dir.empty() || !PathExists(cgroup_dir)) continue;
    const Result<Cgroup> cgroup = Cgroup::Open(cgroup_dir);
    const Status killed = cgroup.ok() ? cgroup->Kill(deadline) : cgroup.status();
    // The runtime removes the cgroup under us.
    if (!killed.ok() && killed.code() != Code::kNotFound && first.ok()) first = killed;
  }
  return first;
}

Status NotRestored(const std::string& why) {
  return Status(Code::kFailedPrecondition,
                "the restored processes are not those of the checkpoint: " + why,
                Reason::kNotVerified);
}

}  // namespace

Result<wrapper::Plan> PrepareAttempt(const std::string& job_dir, const std::string& images_dir,
                                     const std::string& container, int attempt) {
  wrapper::Plan plan;
  plan.images_dir = images_dir;
  plan.work_dir =
      job_dir + "/" + jobs::kAttemptsDirectory + "/" + container + "-" + std::to_string(attempt);
  plan.criu_config_file = plan.work_dir + "/" + kOptionsFile;
  CRYOPOD_RETURN_IF_ERROR(RemoveTree(plan.work_dir));
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(plan.work_dir));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(plan.work_dir));
  CRYOPOD_RETURN_IF_ERROR(WriteFileAtomically(dir.get(), kOptionsFile, kOptions));
  return plan;
}

Status PrepareHold(const std::string& library, const std::string& cgroup_dir,
                   const std::vector<RecordLock>& locks, wrapper::Plan& plan) {
  const std::string options = kHoldOptions + library.substr(0, library.rfind('/')) + "\n";
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(plan.work_dir));
  CRYOPOD_RETURN_IF_ERROR(WriteFileAtomically(dir.get(), kHoldOptionsFile, options));
  CRYOPOD_RETURN_IF_ERROR(
      WriteFileAtomically(dir.get(), kRecordLocksFile, criu::FormatLocks(locks)));
  plan.hold = {plan.work_dir + "/" + kHoldOptionsFile, cgroup_dir,
               plan.work_dir + "/" + kRecordLocksFile};
  return Status();
}

Status VerifyRestored(jobs::ContainerReport& container, uint32_t tasks) {
  CRYOPOD_ASSIGN_OR_RETURN(const ProcessInfo init, ReadProcessInfo(container.pid));
  CRYOPOD_ASSIGN_OR_RETURN(const Cgroup cgroup, Cgroup::OfProcess(container.pid));
  // Some runtimes put the processes one level below what config.json names.
  if (!container.cgroup_dir.empty() && !IsAtOrBelow(cgroup.path(), container.cgroup_dir)) {
    return NotRestored("the init process is in the cgroup " + cgroup.path() + ", not in " +
                       container.cgroup_dir);
  }
  CRYOPOD_ASSIGN_OR_RETURN(const FreezeState state, cgroup.State());
  container.frozen = state != FreezeState::kThawed;
  if (!container.frozen && init.state != 'T') return NotRestored("they run already");
  if (container.frozen) {
    CRYOPOD_RETURN_IF_ERROR(cgroup.WaitFrozen(Deadline::After(kFreezeTimeout)));
  }
  // Zombies come back too, and do not count: they are no tasks of the record either.
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> living, cgroup.LivingThreads());
  if (tasks != 0 && living.size() != tasks) {
    return NotRestored("there are " + std::to_string(living.size()) +
                       " tasks, the checkpoint has " + std::to_string(tasks));
  }
  container.start_time_ticks = init.start_time_ticks;
  container.cgroup_dir = cgroup.path();
  return Status();
}

Status VerifyAlive(const jobs::ContainerReport& container) {
  const Result<ProcessInfo> init = ReadProcessInfo(container.pid);
  if (!init.ok() || init->start_time_ticks != container.start_time_ticks || IsZombie(*init)) {
    return Status(Code::kFailedPrecondition,
                  "the restored process " + std::to_string(container.pid) + " has ended",
                  Reason::kProcessesEnded);
  }
  return Status();
}

Status RememberHostname(const wrapper::Request& request, jobs::ContainerReport& container,
                        Deadline deadline) {
  const auto uts = request.namespace_paths.find("uts");
  container.uts_path = uts == request.namespace_paths.end() ? "" : uts->second;
  container.hostname.clear();
  if (container.uts_path.empty()) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(
      const UniqueFd ns,
      OpenAt(AT_FDCWD, container.uts_path, O_RDONLY).While("the pod's UTS namespace"));
  CRYOPOD_ASSIGN_OR_RETURN(container.hostname, ReadHostname(ns.get(), deadline));
  return Status();
}

Status PutHostnameBack(const jobs::ContainerReport& container, Deadline deadline) {
  if (container.uts_path.empty() || container.hostname.empty()) return Status();
  const Result<UniqueFd> ns = OpenAt(AT_FDCWD, container.uts_path, O_RDONLY);
  // A sandbox that is gone has no name to keep.
  if (ns.status().code() == Code::kNotFound) return Status();
  if (!ns.ok()) return ns.status();
  return WriteHostname(ns->get(), container.hostname, deadline)
      .While("putting the pod's host name back");
}

Status EndRestore(const jobs::ContainerReport& container, Deadline deadline) {
  const Status killed = KillProcesses(container.cgroup_dir, deadline);
  const Status renamed = PutHostnameBack(container, deadline);
  const Status detached = container.state_dir.empty()
                              ? Status()
                              : wrapper::DetachRestoreMounts(container.state_dir, container.rootfs);
  for (const Status& status : {killed, renamed, detached}) {
    if (!status.ok()) return status.While("ending the restore of container " + container.name);
  }
  return Status();
}

Status ReasonOf(const wrapper::Outcome& outcome, const std::string& work_dir) {
  if (PathExists(work_dir + "/" + wrapper::kLauncherLogFile)) {
    return Status(Code::kUnknown, outcome.log, Reason::kCriuFailed);
  }
  const Result<std::string> log = jobs::ReadLog(work_dir + "/restore.log");
  if (log.ok()) {
    Status reason = criu::ReasonFromLog(*log);
    if (!reason.ok() && !reason.message().empty()) return reason;
  }
  return Status(Code::kUnknown, outcome.log.empty() ? "the runtime's restore failed" : outcome.log,
                Reason::kCriuFailed);
}

}  // namespace cryopod::restore
