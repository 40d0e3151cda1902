#include "agent/daemon/observe/node_metrics.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <vector>

#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/job_directory.h"
#include "agent/jobs/job_file.h"
#include "agent/node/node_report.h"
#include "agent/os/cgroup.h"
#include "agent/os/log.h"

namespace cryopod::daemon {
namespace {

using std::chrono::nanoseconds;

// Asking takes a CRIU of its own.
constexpr std::chrono::minutes kDescriptionAge{5};
// So that the first scrape knows the node already, where nothing hangs.
constexpr std::chrono::milliseconds kFirstPatience{2000};

metrics::NodeDescription Describe(const api::NodeInfo& info) {
  metrics::NodeDescription node;
  node.agent_version = info.agent_version;
  node.criu_version = info.criu_version;
  node.runtime_name = info.runtime_name;
  node.runtime_version = info.runtime_version;
  node.kernel = info.kernel;
  node.architecture = info.architecture;
  node.cgroup_version = info.cgroup_version;
  node.problems = info.problems.size();
  return node;
}

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
  std::error_code error;
  const auto written = std::filesystem::last_write_time(job_dir + "/" + jobs::kJournalFile, error);
  if (error) return {};
  return std::max<nanoseconds>(std::filesystem::file_time_type::clock::now() - written,
                               nanoseconds(0));
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

api::NodeInfo ReadNodeInfo(const AgentParts& agent) {
  const node::NodeReport report = node::LookAtNode(
      agent.config, agent.runtime, {.is_agent = true, .agent_version = CRYOPOD_VERSION});
  api::NodeInfo info;
  info.agent_version = CRYOPOD_VERSION;
  info.kernel = report.machine.kernel;
  info.architecture = report.machine.architecture;
  info.cgroup_version = report.machine.cgroup_version;
  info.criu_version = report.criu_version;
  info.runtime_name = report.runtime_name;
  info.runtime_version = report.runtime_version;
  info.problems = report.requirements.Problems();
  info.requirements = report.requirements.all();
  return info;
}

void NodeMetrics::DescribeNode() {
  const bool first = !described_until_.has_value();
  const bool due = first || described_until_->expired();
  // Not beside a freeze, which it could lengthen.
  if (due && !asked_.valid() && (first || agent_.operations.ListRunning().empty())) {
    asked_ = std::async(std::launch::async, [this] { return ReadNodeInfo(agent_); });
  }
  if (!asked_.valid()) return;
  const auto patience = first ? kFirstPatience : std::chrono::milliseconds(0);
  if (asked_.wait_for(patience) != std::future_status::ready) return;
  agent_.metrics.SetNode(Describe(asked_.get()));
  described_until_ = Deadline::After(kDescriptionAge);
}

std::string NodeMetrics::Collect() {
  const std::lock_guard lock(mutex_);
  DescribeNode();
  const FrozenPods frozen = CountFrozenPods(agent_);
  agent_.metrics.SetFrozen(frozen.pods, frozen.longest);
  agent_.metrics.SetForeignJobs(agent_.operations.ListForeign().size());
  const Result<metrics::StoreUsage> usage = census_.Count();
  if (usage.ok()) {
    agent_.metrics.SetStore(*usage);
  } else {
    Log(LogLevel::kWarning, "counting the archives", {{"reason", usage.status().message()}});
  }
  return agent_.metrics.Serialize();
}

}  // namespace cryopod::daemon
