#include "agent/daemon/observe/frozen_pods.h"

#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/job_directory.h"
#include "agent/jobs/job_file.h"
#include "agent/os/cgroup.h"
#include "agent/os/file.h"

namespace cryopod::daemon {
namespace {

using std::chrono::nanoseconds;

bool AnyAlive(const std::vector<jobs::ProcessIdentity>& processes) {
  return std::any_of(processes.begin(), processes.end(), jobs::IsAlive);
}

// Somebody else may have paused what has taken the place of containers that are gone.
bool KernelHolds(const jobs::Journal& journal) {
  if (!AnyAlive(journal.inits)) return false;
  return std::any_of(journal.cgroups.begin(), journal.cgroups.end(), [](const std::string& path) {
    const Result<Cgroup> cgroup = Cgroup::Open(path);
    if (!cgroup.ok()) return false;
    const Result<FreezeState> state = cgroup->State();
    return state.ok() && *state != FreezeState::kThawed;
  });
}

bool StandsStill(const std::string& job_dir, bool says_frozen) {
  const auto journal = jobs::ReadFileOf<jobs::Journal>(job_dir, jobs::kJournalFile);
  if (!journal.ok()) return false;  // it comes before the first freeze
  const auto process = jobs::ReadFileOf<jobs::ProcessIdentity>(job_dir, jobs::kProcessFile);
  const bool lives = process.ok() && jobs::IsAlive(*process);
  if (lives && says_frozen) return true;
  // A CRIU whose driver has died dumps on.
  return KernelHolds(*journal) || (!lives && AnyAlive(journal->criu));
}

// The journal is written right before the freeze.
nanoseconds SinceJournal(const std::string& job_dir) {
  struct stat status {};
  if (::stat((job_dir + "/" + jobs::kJournalFile).c_str(), &status) != 0) return {};
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const nanoseconds since = std::chrono::seconds(now.tv_sec - status.st_mtim.tv_sec) +
                            nanoseconds(now.tv_nsec - status.st_mtim.tv_nsec);
  return std::max(since, nanoseconds(0));
}

}  // namespace

FrozenPods CountFrozenPods(const settings::AgentSettings& config,
                           const OperationRegister& operations) {
  std::map<std::string, bool> says_frozen;
  for (const std::shared_ptr<Operation>& operation : operations.ListRunning()) {
    says_frozen[operation->id()] = operation->frozen();
  }
  FrozenPods frozen;
  const Result<std::vector<jobs::ListedJob>> jobs = jobs::ListJobs(config.jobs_dir());
  if (!jobs.ok()) return frozen;
  for (const jobs::ListedJob& job : *jobs) {
    if (!job.readable.ok() || job.kind != jobs::JobKind::kCheckpoint) continue;
    const std::string job_dir = config.jobs_dir() + "/" + job.id;
    if (!StandsStill(job_dir, says_frozen[job.id])) continue;
    ++frozen.pods;
    frozen.longest = std::max(frozen.longest, SinceJournal(job_dir));
  }
  return frozen;
}

}  // namespace cryopod::daemon
