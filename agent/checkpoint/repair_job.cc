#include "agent/checkpoint/repair_job.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>

#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/job_file.h"
#include "agent/os/cgroup.h"
#include "agent/os/file.h"
#include "agent/os/mount.h"
#include "agent/os/proc.h"
#include "agent/os/staging_area.h"
#include "agent/os/subprocess.h"

namespace cryopod::checkpoint {
namespace {

constexpr std::chrono::seconds kTerminateTimeout{5};
constexpr std::chrono::seconds kKillTimeout{10};
constexpr std::chrono::milliseconds kStopInterval{100};

void KeepFirst(Status& first, Status next) {
  if (first.ok()) first = std::move(next);
}

bool StopIsDecided(const std::string& job_dir) {
  return PathExists(job_dir + "/" + jobs::kStoppingFile);
}

// No journal: nothing was frozen yet.
Result<jobs::Journal> ReadJournal(const std::string& job_dir) {
  Result<jobs::Journal> journal = jobs::ReadFileOf<jobs::Journal>(job_dir, jobs::kJournalFile);
  return journal.status().code() == Code::kNotFound ? jobs::Journal() : journal;
}

// Only a leaf that still holds a container of the job, or nothing at all: somebody else may have
// paused what is there now.
Status ReleaseAll(const jobs::Journal& journal, bool kill) {
  Status first;
  std::vector<Cgroup> to_kill;
  for (const std::string& path : journal.cgroups) {
    Result<Cgroup> cgroup = Cgroup::Open(path);
    if (!cgroup.ok()) continue;
    const Result<std::vector<pid_t>> pids = cgroup->Processes();
    const bool ours =
        !pids.ok() || pids->empty() ||
        std::any_of(journal.inits.begin(), journal.inits.end(),
                    [](const jobs::ProcessIdentity& init) { return jobs::IsAlive(init); });
    if (!ours) continue;
    if (kill)
      to_kill.push_back(std::move(cgroup).value());
    else
      KeepFirst(first, cgroup->Thaw());
  }
  std::vector<const Cgroup*> each;
  each.reserve(to_kill.size());
  for (const Cgroup& cgroup : to_kill) each.push_back(&cgroup);
  KeepFirst(first, KillEach(each, Deadline::After(kKillTimeout)));
  return first;
}

Status EndCriu(const jobs::ProcessIdentity& criu, int pidfd) {
  const std::string name = "CRIU (PID " + std::to_string(criu.pid) + ")";
  for (const int signal : {SIGTERM, SIGKILL}) {
    if (TracesAnyone(criu.pid)) {
      return Status(Code::kDeadlineExceeded,
                    name + " still holds processes of the pod and is left to end by itself");
    }
    ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0);
    if (PidfdEnded(pidfd, Deadline::After(kTerminateTimeout))) break;
  }
  return Status(Code::kDeadlineExceeded, name + " had let go, did not end and was killed");
}

// Waits for its end; one that is beyond the deadline is ended.
Status WaitForCriu(const jobs::ProcessIdentity& criu, Deadline deadline,
                   const std::stop_token& stop) {
  const Result<UniqueFd> pidfd = OpenPidfd(criu.pid);
  if (!pidfd.ok() || !jobs::IsAlive(criu)) return Status();
  while (!PidfdEnded(pidfd->get(), deadline.SoonerAfter(kStopInterval))) {
    if (stop.stop_requested()) {
      return Status(Code::kCancelled, "CRIU (PID " + std::to_string(criu.pid) + ") still works");
    }
    if (deadline.expired()) return EndCriu(criu, pidfd->get());
  }
  return Status();
}

}  // namespace

Status ReleaseJob(const std::string& job_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const jobs::Journal journal, ReadJournal(job_dir));
  return ReleaseAll(journal, StopIsDecided(job_dir));
}

bool IsReleased(const std::string& job_dir) {
  const Result<jobs::Journal> journal = ReadJournal(job_dir);
  return journal.ok() && std::ranges::none_of(journal->criu, jobs::IsAlive) &&
         ReleaseAll(*journal, StopIsDecided(job_dir)).ok();
}

Status RepairJob(const std::string& job_dir, Deadline deadline, const std::stop_token& stop) {
  CRYOPOD_ASSIGN_OR_RETURN(const jobs::Journal journal, ReadJournal(job_dir));
  const bool kill = StopIsDecided(job_dir);
  Status first = ReleaseAll(journal, kill);
  for (const jobs::ProcessIdentity& criu : journal.criu) {
    Status waited = WaitForCriu(criu, deadline, stop);
    if (waited.code() == Code::kCancelled) return waited;
    KeepFirst(first, std::move(waited));
    KeepFirst(first, ReleaseAll(journal, kill));
  }
  const std::string staging = job_dir + "/" + jobs::kStagingDirectory;
  KeepFirst(first, journal.disk_staging.empty()
                       ? UnmountAll(staging)
                       : StagingArea::RemoveLeftovers(staging, journal.disk_staging));
  return first;
}

}  // namespace cryopod::checkpoint
