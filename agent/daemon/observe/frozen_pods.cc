#include "agent/daemon/observe/frozen_pods.h"

#include <algorithm>
#include <filesystem>
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
  using std::filesystem::file_time_type;
  std::error_code error;
  const auto written = std::filesystem::last_write_time(job_dir + "/" + jobs::kJournalFile, error);
  if (error) return {};
  return std::max<nanoseconds>(file_time_type::clock::now() - written, nanoseconds(0));
}

}  // namespace

FrozenPods CountFrozenPods(const AgentParts& agent) {
  std::map<std::string, bool> says_frozen;
  for (const std::shared_ptr<Operation>& operation : agent.operations.ListRunning()) {
    says_frozen[operation->id()] = operation->frozen();
  }
  FrozenPods frozen;
  const Result<std::vector<jobs::ListedJob>> jobs = jobs::ListJobs(agent.config.jobs_dir());
  if (!jobs.ok()) return frozen;
  for (const jobs::ListedJob& job : *jobs) {
    if (!job.readable.ok() || job.kind != jobs::JobKind::kCheckpoint) continue;
    const std::string job_dir = agent.job_dir(job.id);
    if (!StandsStill(job_dir, says_frozen[job.id])) continue;
    ++frozen.pods;
    frozen.longest = std::max(frozen.longest, SinceJournal(job_dir));
  }
  return frozen;
}

}  // namespace cryopod::daemon
