#include "agent/daemon/pods/half_made_pods.h"

#include <list>
#include <memory>
#include <utility>

#include "agent/jobs/job_directory.h"
#include "agent/os/log.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::daemon {
namespace {

using std::chrono::seconds;

constexpr seconds kCallTimeout{10};
constexpr char kKept[] = "kept";
constexpr std::chrono::milliseconds kInterval{250};

bool InAftermath(Deadline::Clock::time_point began) {
  return Deadline::Clock::now() - began < kAftermath;
}

// A journal that an agent has left.
struct Entry {
  jobs::PodJournal journal;
  OperationFacts facts;
  std::shared_ptr<Operation> operation;  // may be nullptr: another one runs on the pod
  Deadline::Clock::time_point began = Deadline::Clock::now();
  bool complained = false;
};

void Add(const AgentParts& agent, const std::string& operation_id, std::list<Entry>& entries) {
  Result<jobs::PodJournal> journal = jobs::ReadPodJournal(agent.config.jobs_dir(), operation_id);
  if (!journal.ok()) return agent.operations.AddForeign(operation_id, journal.status());
  const OperationFacts facts = FactsOf(*journal);
  Result<OperationRegister::Begun> begun = agent.operations.Begin(facts);
  if (begun.ok() && begun->found && begun->operation->outcome().status.ok()) {
    // Its caller knows that the pod is whole: what has become of it since is no longer ours.
    (void)jobs::RemoveJob(agent.config.jobs_dir(), operation_id);
    return;
  }
  Entry& entry = entries.emplace_back();
  entry.journal = std::move(journal).value();
  entry.facts = facts;
  if (begun.ok() && !begun->found) entry.operation = std::move(begun->operation);
}

bool HadFinished(const wrapper::ConsumedRecord& record, const std::string& name) {
  return record.finished.contains(name) || record.replaced.contains(name);
}

// Every container was restored, by this very operation, and runs; or had finished before the cut.
Result<bool> IsWhole(const AgentParts& agent, const Entry& entry, const cri::PodSandbox& pod) {
  wrapper::Request request;
  request.pod_uid = entry.journal.pod_uid;
  request.restore_operation = entry.journal.restore_operation;
  const Result<wrapper::ConsumedRecord> record =
      wrapper::ReadConsumed(agent.config.state_dir, request);
  if (!record.ok()) return false;
  for (const std::string& name : entry.journal.containers) {
    if (!record->restored.contains(name) && !HadFinished(*record, name)) return false;
  }
  CRYOPOD_ASSIGN_OR_RETURN(const cri::PodSandbox described,
                           agent.runtime.DescribePodSandbox(pod.id, Deadline::After(kCallTimeout)));
  if (!described.ready || described.containers.size() != entry.journal.containers.size()) {
    return false;
  }
  bool all_run = true;
  for (const cri::Container& container : described.containers) {
    const bool has_exited = container.state == cri::ContainerState::kExited;
    if (has_exited && HadFinished(*record, container.name)) continue;
    if (has_exited) return false;
    all_run = all_run && container.state == cri::ContainerState::kRunning;
  }
  if (!all_run && InAftermath(entry.began)) {
    return Status(Code::kAborted, "a container may still be started");
  }
  return all_run;
}

Status Undo(cri::RuntimeClient& runtime, const std::string& sandbox_id) {
  Status stopped = runtime.StopPodSandbox(sandbox_id, Deadline::After(kCallTimeout));
  if (!stopped.ok() && stopped.code() != Code::kNotFound) return stopped;
  const Status removed = runtime.RemovePodSandbox(sandbox_id, Deadline::After(kCallTimeout));
  return removed.code() == Code::kNotFound ? Status() : removed;
}

// What was done, as a word for the log. Errors: kAborted when it is too early to say.
Result<std::string> SettleOne(const AgentParts& agent, const Entry& entry) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::optional<cri::PodSandbox> ours,
                           FindSandbox(agent, entry.journal));
  if (!ours) {
    if (entry.journal.sandbox_id.empty() && InAftermath(entry.began)) {
      return Status(Code::kAborted, "the sandbox may still turn up");
    }
    return std::string("nothing was there");
  }
  CRYOPOD_ASSIGN_OR_RETURN(const bool whole, IsWhole(agent, entry, *ours));
  if (whole) return std::string(kKept);
  CRYOPOD_RETURN_IF_ERROR(Undo(agent.runtime, ours->id));
  return std::string("what was made is removed");
}

bool IsSettled(const AgentParts& agent, const EndRestore& end_restore, Entry& entry) {
  const Result<std::string> outcome = SettleOne(agent, entry);
  if (outcome.status().code() == Code::kAborted) return false;
  const OperationFacts& facts = entry.facts;
  if (!outcome.ok()) {
    if (!std::exchange(entry.complained, true)) {
      Log(LogLevel::kWarning, "settling what a restore left; it is tried again",
          {{"operation", facts.id}, {"pod", facts.pod}, {"reason", outcome.status().message()}});
    }
    return false;
  }
  Log(LogLevel::kInfo, "restore of an agent that ended is settled",
      {{"operation", facts.id}, {"pod", facts.pod}, {"outcome", *outcome}});
  if (*outcome != kKept) end_restore(entry.journal.restore_operation);
  const auto remove_job = [&] { (void)jobs::RemoveJob(agent.config.jobs_dir(), facts.id); };
  if (entry.operation == nullptr) {
    remove_job();
    return true;
  }
  Outcome result;
  if (*outcome == kKept) {
    result.restore.sandbox_id = entry.journal.sandbox_id;
  } else {
    result.status =
        Status(Code::kAborted, "the agent ended before the pod was restored; " + *outcome,
               Reason::kProcessDied);
  }
  agent.operations.Finish(entry.operation, std::move(result), remove_job);
  return true;
}

void Work(const AgentParts& agent, const std::stop_token& stop, const EndRestore& end_restore,
          std::list<Entry> entries) {
  while (!entries.empty()) {
    entries.remove_if([&](Entry& entry) {
      return !stop.stop_requested() && IsSettled(agent, end_restore, entry);
    });
    if (stop.stop_requested()) return;
    if (!entries.empty()) std::this_thread::sleep_for(kInterval);
  }
}

}  // namespace

Result<std::optional<cri::PodSandbox>> FindSandbox(const AgentParts& agent,
                                                   const jobs::PodJournal& journal) {
  CRYOPOD_ASSIGN_OR_RETURN(std::vector<cri::PodSandbox> pods,
                           agent.runtime.ListPodSandboxes(Deadline::After(kCallTimeout)));
  for (cri::PodSandbox& pod : pods) {
    const auto annotation = pod.annotations.find(wrapper::kRestoreOperationAnnotation);
    if (annotation == pod.annotations.end() || annotation->second != journal.restore_operation) {
      continue;
    }
    return std::optional(std::move(pod));
  }
  return std::optional<cri::PodSandbox>();
}

OperationFacts FactsOf(const jobs::PodJournal& journal) {
  OperationFacts facts;
  facts.id = journal.operation_id;
  facts.kind = jobs::JobKind::kPod;
  facts.pod = journal.pod_namespace + "/" + journal.pod_name;
  facts.pod_key = journal.pod_uid;
  facts.archive = journal.archive;
  facts.restore_operation = journal.restore_operation;
  return facts;
}

std::jthread SettleHalfMadePods(const AgentParts& agent,
                                const std::vector<std::string>& operation_ids,
                                EndRestore end_restore) {
  std::list<Entry> entries;
  for (const std::string& id : operation_ids) Add(agent, id, entries);
  if (entries.empty()) return {};
  return std::jthread([agent, end_restore = std::move(end_restore),
                       entries = std::move(entries)](const std::stop_token& stop) mutable {
    Work(agent, stop, end_restore, std::move(entries));
  });
}

}  // namespace cryopod::daemon
