#include "agent/checkpoint/repair_job.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>

#include "agent/checkpoint/job.h"
#include "agent/os/cgroup.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/mount.h"
#include "agent/os/subprocess.h"

namespace cryopod::checkpoint {
namespace {

constexpr size_t kJournalBytesMax = size_t{4} << 20;
constexpr std::chrono::seconds kTerminateTimeout{5};

// No journal: nothing was frozen yet.
Result<Journal> ReadJournal(const std::string& job_dir) {
  Result<std::string> text = ReadFile(job_dir + "/" + kJournalFile, kJournalBytesMax);
  if (text.status().code() == Code::kNotFound) return Journal();
  if (!text.ok()) return text.status();
  return ParseJournal(*text);
}

// Only a leaf that still holds a container of the job, or nothing at all: somebody else may have
// paused what is there now.
Status ThawAll(const Journal& journal) {
  Status first;
  for (const std::string& path : journal.cgroups) {
    const Result<Cgroup> cgroup = Cgroup::Open(path);
    if (!cgroup.ok()) continue;
    const Result<std::vector<pid_t>> pids = cgroup->Processes();
    const bool ours = !pids.ok() || pids->empty() ||
                      std::any_of(journal.inits.begin(), journal.inits.end(),
                                  [](const ProcessIdentity& init) { return IsAlive(init); });
    if (!ours) continue;
    Status thawed = cgroup->Thaw();
    if (!thawed.ok() && first.ok()) first = std::move(thawed);
  }
  return first;
}

// True when it had to be killed.
bool WaitForCriu(const ProcessIdentity& criu, Deadline deadline) {
  const Result<UniqueFd> pidfd = OpenPidfd(criu.pid);
  if (!pidfd.ok() || !IsAlive(criu) || PidfdEnded(pidfd->get(), deadline)) return false;
  ::syscall(SYS_pidfd_send_signal, pidfd->get(), SIGTERM, nullptr, 0);
  if (PidfdEnded(pidfd->get(), Deadline::After(kTerminateTimeout))) return true;
  ::syscall(SYS_pidfd_send_signal, pidfd->get(), SIGKILL, nullptr, 0);
  PidfdEnded(pidfd->get(), Deadline::After(kTerminateTimeout));
  return true;
}

}  // namespace

Status ThawJob(const std::string& job_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const Journal journal, ReadJournal(job_dir));
  return ThawAll(journal);
}

Status RepairJob(const std::string& job_dir, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const Journal journal, ReadJournal(job_dir));
  Status first = ThawAll(journal);
  for (const ProcessIdentity& criu : journal.criu) {
    if (WaitForCriu(criu, deadline) && first.ok()) {
      first = Status(Code::kDeadlineExceeded,
                     "CRIU (PID " + std::to_string(criu.pid) + ") did not end and was killed");
    }
    Status thawed = ThawAll(journal);
    if (!thawed.ok() && first.ok()) first = std::move(thawed);
  }
  Status unmounted = UnmountAll(job_dir + "/" + kStagingDirectory);
  if (!unmounted.ok() && first.ok()) first = std::move(unmounted);
  if (!journal.disk_staging.empty()) {
    Status removed = RemoveTree(journal.disk_staging);
    if (!removed.ok() && first.ok()) first = std::move(removed);
  }
  return first;
}

}  // namespace cryopod::checkpoint
