#include "agent/daemon/pods/half_made_pods.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "agent/jobs/job_directory.h"
#include "agent/os/log.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kCallTimeout{10};
constexpr milliseconds kInterval{250};
// The runtime may go on with a call whose caller was killed. So long a sandbox that it has not told
// yet may still turn up, and a container whose restore is consumed may still be started.
constexpr seconds kAftermath{5};

bool IsOurs(const cri::PodSandbox& pod, const jobs::RestoreJournal& journal) {
  const auto annotation = pod.annotations.find(wrapper::kRestoreOperationAnnotation);
  return annotation != pod.annotations.end() && annotation->second == journal.restore_operation;
}

bool InAftermath(Deadline::Clock::time_point began) {
  return Deadline::Clock::now() - began < kAftermath;
}

}  // namespace

HalfMadePods::HalfMadePods(const settings::AgentSettings& config, cri::RuntimeClient& runtime,
                           OperationTable& table)
    : config_(config), runtime_(runtime), table_(table) {}

HalfMadePods::~HalfMadePods() { thread_.request_stop(); }

Status HalfMadePods::Settle() {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<std::string> ids,
                           jobs::ListJobs(config_.jobs_dir(), jobs::kPodJobPrefix));
  std::list<Entry> entries;
  for (const std::string& id : ids) {
    Result<jobs::RestoreJournal> journal = jobs::ReadRestoreJournal(config_, id);
    if (!journal.ok()) {
      // Without a request nothing was made; one that cannot be read names no pod.
      Log(LogLevel::kWarning, "a restore's journal cannot be read",
          {{"operation", id}, {"reason", journal.status().message()}});
      (void)jobs::RemoveJob(config_.jobs_dir(), id);
      continue;
    }
    Entry& entry = entries.emplace_back();
    entry.journal = std::move(journal).value();
    Result<std::shared_ptr<Operation>> operation = table_.Begin(
        OperationKind::kRestore, entry.journal.pod_namespace + "/" + entry.journal.pod_name,
        entry.journal.pod_uid, id);
    if (operation.ok()) entry.operation = std::move(operation).value();
  }
  if (entries.empty()) return Status();
  thread_ = std::jthread([this, entries = std::move(entries)](const std::stop_token& stop) mutable {
    Work(stop, std::move(entries));
  });
  return Status();
}

void HalfMadePods::Work(const std::stop_token& stop, std::list<Entry> entries) {
  std::mutex mutex;
  std::condition_variable_any wake;
  while (!stop.stop_requested()) {
    for (auto entry = entries.begin(); entry != entries.end() && !stop.stop_requested();) {
      entry = IsSettled(*entry) ? entries.erase(entry) : std::next(entry);
    }
    if (entries.empty()) return;
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, kInterval, [] { return false; });
  }
}

bool HalfMadePods::IsSettled(Entry& entry) {
  const Result<std::string> outcome = SettleOne(entry);
  if (outcome.status().code() == Code::kAborted) return false;
  if (!outcome.ok()) {
    if (!entry.complained) {
      Log(LogLevel::kWarning, "settling what a restore left; it is tried again",
          {{"operation", entry.journal.operation_id},
           {"pod", entry.journal.pod_namespace + "/" + entry.journal.pod_name},
           {"reason", outcome.status().message()}});
    }
    entry.complained = true;
    return false;
  }
  Log(LogLevel::kInfo, "restore of an agent that ended is settled",
      {{"operation", entry.journal.operation_id},
       {"pod", entry.journal.pod_namespace + "/" + entry.journal.pod_name},
       {"outcome", *outcome}});
  (void)jobs::RemoveJob(config_.jobs_dir(), entry.journal.operation_id);
  if (entry.operation != nullptr) table_.End(*entry.operation);
  return true;
}

// What was done, as a word for the log. Errors: kAborted when it is too early to say.
Result<std::string> HalfMadePods::SettleOne(const Entry& entry) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<cri::PodSandbox> pods,
                           runtime_.ListPodSandboxes(Deadline::After(kCallTimeout)));
  const auto ours = std::find_if(pods.begin(), pods.end(), [&](const cri::PodSandbox& pod) {
    return IsOurs(pod, entry.journal);
  });
  if (ours == pods.end()) {
    if (entry.journal.sandbox_id.empty() && InAftermath(entry.began)) {
      return Status(Code::kAborted, "the sandbox may still turn up");
    }
    return std::string("nothing was there");
  }
  CRYOPOD_ASSIGN_OR_RETURN(const bool whole, IsWhole(entry, *ours));
  if (whole) return std::string("kept");
  CRYOPOD_RETURN_IF_ERROR(Undo(ours->id));
  return std::string("removed");
}

// Every container consumed its restore, by this very operation, and runs.
Result<bool> HalfMadePods::IsWhole(const Entry& entry, const cri::PodSandbox& pod) {
  for (const std::string& name : entry.journal.containers) {
    const Result<wrapper::ConsumedRecord> record =
        wrapper::ReadConsumed(config_.state_dir, entry.journal.pod_uid, name);
    if (!record.ok() || record->restore_operation != entry.journal.restore_operation) return false;
  }
  CRYOPOD_ASSIGN_OR_RETURN(const cri::PodSandbox described,
                           runtime_.DescribePodSandbox(pod.id, Deadline::After(kCallTimeout)));
  if (!described.ready || described.containers.size() != entry.journal.containers.size()) {
    return false;
  }
  bool all_run = true;
  for (const cri::Container& container : described.containers) {
    if (container.state == cri::ContainerState::kExited) return false;
    all_run = all_run && container.state == cri::ContainerState::kRunning;
  }
  if (!all_run && InAftermath(entry.began)) {
    return Status(Code::kAborted, "a container may still be started");
  }
  return all_run;
}

Status HalfMadePods::Undo(const std::string& sandbox_id) {
  const Status stopped = runtime_.StopPodSandbox(sandbox_id, Deadline::After(kCallTimeout));
  if (!stopped.ok() && stopped.code() != Code::kNotFound) return stopped;
  const Status removed = runtime_.RemovePodSandbox(sandbox_id, Deadline::After(kCallTimeout));
  return removed.code() == Code::kNotFound ? Status() : removed;
}

}  // namespace cryopod::daemon
