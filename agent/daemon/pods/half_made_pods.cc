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
constexpr char kKept[] = "kept";
constexpr milliseconds kInterval{250};
// The runtime may go on with a call whose caller was killed. So long a sandbox that it has not told
// yet may still turn up, and a container whose restore is consumed may still be started.
constexpr seconds kAftermath{5};

bool IsOurs(const cri::PodSandbox& pod, const jobs::PodJournal& journal) {
  const auto annotation = pod.annotations.find(wrapper::kRestoreOperationAnnotation);
  return annotation != pod.annotations.end() && annotation->second == journal.restore_operation;
}

bool InAftermath(Deadline::Clock::time_point began) {
  return Deadline::Clock::now() - began < kAftermath;
}

}  // namespace

HalfMadePods::HalfMadePods(const settings::AgentSettings& config, cri::RuntimeClient& runtime,
                           OperationRegister& operations)
    : config_(config), runtime_(runtime), operations_(operations) {}

HalfMadePods::~HalfMadePods() { thread_.request_stop(); }

void HalfMadePods::Settle(const std::vector<std::string>& operation_ids) {
  std::list<Entry> entries;
  for (const std::string& id : operation_ids) {
    Result<jobs::PodJournal> journal = jobs::ReadPodJournal(config_.jobs_dir(), id);
    if (!journal.ok()) {
      operations_.AddForeign(id, journal.status());
      continue;
    }
    Entry& entry = entries.emplace_back();
    entry.journal = std::move(journal).value();
    OperationFacts facts;
    facts.id = id;
    facts.kind = jobs::JobKind::kPod;
    facts.pod = entry.journal.pod_namespace + "/" + entry.journal.pod_name;
    facts.pod_key = entry.journal.pod_uid;
    facts.archive = entry.journal.archive;
    facts.restore_operation = entry.journal.restore_operation;
    Result<OperationRegister::Begun> begun = operations_.Begin(std::move(facts));
    if (!begun.ok()) continue;
    if (!begun->found) {
      entry.operation = std::move(begun->operation);
    } else if (begun->operation->outcome().status.ok()) {
      // Its caller knows that the pod is whole: what has become of it since is no longer ours.
      (void)jobs::RemoveJob(config_.jobs_dir(), id);
      entries.pop_back();
    }
  }
  if (entries.empty()) return;
  thread_ = std::jthread([this, entries = std::move(entries)](const std::stop_token& stop) mutable {
    Work(stop, std::move(entries));
  });
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
  const auto remove_job = [&] {
    (void)jobs::RemoveJob(config_.jobs_dir(), entry.journal.operation_id);
  };
  if (entry.operation == nullptr) {
    remove_job();
    return true;
  }
  Outcome result;
  if (*outcome != kKept) {
    result.status =
        Status(Code::kAborted, "the agent ended before the pod was restored; " + *outcome,
               Reason::kProcessDied);
  }
  result.restore.sandbox_id = *outcome == kKept ? entry.journal.sandbox_id : "";
  operations_.Finish(entry.operation, std::move(result), remove_job);
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
  if (whole) return std::string(kKept);
  CRYOPOD_RETURN_IF_ERROR(Undo(ours->id));
  return std::string("what was made is removed");
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
