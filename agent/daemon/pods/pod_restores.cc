#include "agent/daemon/pods/pod_restores.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/archive/store/archive_store.h"
#include "agent/daemon/archives/archive_access.h"
#include "agent/daemon/operations/record_metrics.h"
#include "agent/daemon/operations/restore_progress.h"
#include "agent/daemon/pods/half_made_pods.h"
#include "agent/daemon/pods/restore_request.h"
#include "agent/jobs/job_directory.h"
#include "agent/jobs/pod_journal.h"
#include "agent/os/cgroup.h"
#include "agent/os/deadline.h"
#include "agent/os/directory.h"
#include "agent/os/log.h"
#include "agent/os/proc.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/messages.h"
#include "restore/runtime/protocol/once_record.h"

namespace cryopod::daemon {
namespace {

using std::chrono::seconds;

constexpr char kDefaultHandler[] = "cryopod";
constexpr seconds kRollbackTimeout{60};
constexpr seconds kReleaseTimeout{30};
constexpr std::chrono::milliseconds kReleaseInterval{5};
constexpr std::chrono::milliseconds kSandboxInterval{250};
constexpr seconds kBlameTimeout{60};

Status Cancelled() { return Status(Code::kCancelled, "the operation was cancelled"); }

// One pod on its way.
class NewPod {
 public:
  NewPod(const AgentParts& agent, Operation& operation, jobs::PodJournal journal,
         std::string runtime_handler, Deadline deadline)
      : agent_(agent),
        operation_(operation),
        runtime_handler_(std::move(runtime_handler)),
        deadline_(deadline),
        journal_(std::move(journal)) {}

  // The whole pod, or nothing: on any error what was made is removed again.
  Outcome Restore(const archive::Archive& archive, const cri::PodRequest& request);
  // Unless something is left: the journal then remembers it.
  void RemoveJob() const {
    if (settled_) (void)jobs::RemoveJob(agent_.config.jobs_dir(), journal_.operation_id);
  }

 private:
  // Errors: kCancelled.
  Status Enter(const std::string& stage, const std::string& container = "");
  Status Make(const archive::Archive& archive, const cri::PodRequest& request);
  Status MakeContainers(const cri::PodRequest& request, const std::string& sandbox_config);
  Status Verify(const archive::Archive& archive, const cri::PodRequest& request);
  void WaitForSandbox();
  bool Rollback();

  const AgentParts agent_;
  Operation& operation_;
  const std::string runtime_handler_;
  const Deadline deadline_;
  // Its restore_operation tells this restore from an earlier one of a pod with the same UID.
  jobs::PodJournal journal_;
  RestoreReport restored_;
  std::string stage_;
  Deadline::Clock::time_point began_;
  bool settled_ = true;
};

Status NewPod::Enter(const std::string& stage, const std::string& container) {
  const auto now = Deadline::Clock::now();
  if (!stage_.empty()) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now - began_);
    restored_.phases.push_back({stage_, static_cast<uint64_t>(us.count())});
  }
  stage_ = container.empty() ? stage : stage + " " + container;
  began_ = now;
  if (!stage.empty()) operation_.Report({stage, container, 0, 0});
  return operation_.cancelled() ? Cancelled() : Status();
}

// The call for it was given up, and the runtime may have gone on with it.
void NewPod::WaitForSandbox() {
  for (const Deadline deadline = Deadline::After(kAftermath); restored_.sandbox_id.empty();) {
    const Result<std::optional<cri::PodSandbox>> found = FindSandbox(agent_, journal_);
    if (found.ok() && *found) restored_.sandbox_id = (*found)->id;
    if (deadline.expired()) return;
    std::this_thread::sleep_for(kSandboxInterval);
  }
}

// False when something is left.
bool NewPod::Rollback() {
  if (restored_.sandbox_id.empty()) return true;
  const Deadline deadline = Deadline::After(kRollbackTimeout);
  Status removed = agent_.runtime.StopPodSandbox(restored_.sandbox_id, deadline);
  if (removed.ok()) removed = agent_.runtime.RemovePodSandbox(restored_.sandbox_id, deadline);
  if (!removed.ok()) {
    Log(LogLevel::kError, "removing a pod whose restore failed",
        {{"operation", journal_.operation_id},
         {"pod", operation_.pod()},
         {"sandbox", restored_.sandbox_id},
         {"reason", removed.message()}});
  }
  return removed.ok();
}

// The runtime opens log files in a directory that the kubelet would have made.
Status MakeLogDirectory(const std::string& sandbox_config) {
  const nlohmann::json config = nlohmann::json::parse(sandbox_config, nullptr, false);
  for (const char* key : {"log_directory", "logDirectory"}) {
    const auto directory = config.find(key);
    if (directory == config.end() || !directory->is_string()) continue;
    const std::string path = directory->get<std::string>();
    if (!path.empty() && path.starts_with('/')) return MakeDirectories(path, 0755);
  }
  return Status();
}

Status NewPod::MakeContainers(const cri::PodRequest& request, const std::string& sandbox_config) {
  for (const auto& [name, config] : request.containers) {
    CRYOPOD_RETURN_IF_ERROR(Enter("create", name));
    CRYOPOD_ASSIGN_OR_RETURN(
        std::string id,
        agent_.runtime.CreateContainer(restored_.sandbox_id, config, sandbox_config, deadline_)
            .While("creating container " + name));
    restored_.containers.push_back({name, std::move(id), 0});
  }
  for (const RestoredContainer& container : restored_.containers) {
    CRYOPOD_RETURN_IF_ERROR(Enter("restore", container.name));
    CRYOPOD_RETURN_IF_ERROR(agent_.runtime.StartContainer(container.id, deadline_)
                                .While("restoring container " + container.name));
  }
  return Status();
}

// Held as long as the pod's other containers are waited for. One that was stopped at the cut stays
// so, and its record says that it was let go.
Status WaitUntilLetGo(const RestoredContainer& container, const std::function<bool()>& is_recorded,
                      Deadline deadline) {
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const ProcessInfo info, ReadProcessInfo(container.pid)
                                                         .While("container " + container.name +
                                                                " ended after its restore"));
    if (!StandsStill(info) || (info.state == 'T' && is_recorded())) return Status();
    std::this_thread::sleep_for(kReleaseInterval);
    if (deadline.expired()) {
      return Status(Code::kDeadlineExceeded,
                    "container " + container.name + " was restored and not let go in time");
    }
  }
}

// A pod that runs is no proof that it was restored: the consumed record is.
Status NewPod::Verify(const archive::Archive& archive, const cri::PodRequest& request) {
  CRYOPOD_RETURN_IF_ERROR(Enter("verify"));
  const Deadline deadline = deadline_.SoonerAfter(kReleaseTimeout);
  wrapper::Request restore;
  restore.pod_uid = request.pod_uid;
  restore.restore_operation = journal_.restore_operation;
  for (RestoredContainer& container : restored_.containers) {
    const auto& finished = archive.checkpoint().finished;
    const auto is_finished = [&](const auto& one) { return one.name == container.name; };
    if (std::any_of(finished.begin(), finished.end(), is_finished)) continue;
    CRYOPOD_ASSIGN_OR_RETURN(const cri::Container live,
                             agent_.runtime.ContainerStatus(container.id, deadline));
    container.pid = live.pid;
    Result<wrapper::ConsumedRecord> record = Status(Code::kNotFound, "not read");
    const auto is_recorded = [&] {
      record = wrapper::ReadConsumed(agent_.config.state_dir, restore);
      return record.ok() && record->restored.contains(container.name);
    };
    Status let_go = WaitUntilLetGo(container, is_recorded, deadline);
    if (let_go.code() == Code::kDeadlineExceeded) return let_go;
    if (!is_recorded()) {
      return Status(Code::kInternal,
                    "container " + container.name + " runs and was not restored by this operation");
    }
    CRYOPOD_RETURN_IF_ERROR(let_go);
    const std::string& remark = record->restored.at(container.name);
    if (!remark.empty()) {
      restored_.warnings.push_back("container " + container.name + ": " + remark);
    }
  }
  return Status();
}

Status NewPod::Make(const archive::Archive& archive, const cri::PodRequest& request) {
  CRYOPOD_RETURN_IF_ERROR(Enter("sandbox"));
  CRYOPOD_ASSIGN_OR_RETURN(
      const std::string sandbox_config,
      cri::AddAnnotations(
          request.sandbox_config_json,
          {{wrapper::kRestoreFromAnnotation, archive.name() + "@" + archive.digest()},
           {wrapper::kRestoreOperationAnnotation, journal_.restore_operation},
           // Who asks for this restore hears why it failed.
           {wrapper::kOnFailureAnnotation, "fail"}}));
  CRYOPOD_RETURN_IF_ERROR(MakeLogDirectory(sandbox_config));
  const std::string handler = runtime_handler_.empty() ? kDefaultHandler : runtime_handler_;
  Result<std::string> sandbox = agent_.runtime.RunPodSandbox(sandbox_config, handler, deadline_);
  if (!sandbox.ok()) {
    const Code code = sandbox.status().code();
    if (code == Code::kDeadlineExceeded || code == Code::kUnavailable) WaitForSandbox();
    return sandbox.status();
  }
  restored_.sandbox_id = std::move(*sandbox);
  journal_.sandbox_id = restored_.sandbox_id;
  CRYOPOD_RETURN_IF_ERROR(
      jobs::RecordSandbox(agent_.config.jobs_dir(), journal_).While("writing the journal"));
  CRYOPOD_RETURN_IF_ERROR(MakeContainers(request, sandbox_config));
  CRYOPOD_RETURN_IF_ERROR(Verify(archive, request));
  return Enter("");
}

// The runtime hands on the words of a failure and neither its code nor its reason; whether the
// archive is to blame can be found out, and the restore's own report knows the reason.
Status Blame(const settings::AgentSettings& config, const archive::Archive& archive,
             const std::string& operation, const Status& failure) {
  const Status verified = archive.Verify(Deadline::After(kBlameTimeout));
  if (verified.code() == Code::kDataLoss) return Status(Code::kDataLoss, failure.message());
  const Reason reason = ReasonOfRestore(config.jobs_dir(), operation);
  return Status(failure.code(), failure.message(),
                reason == Reason::kNone ? failure.reason() : reason);
}

Outcome NewPod::Restore(const archive::Archive& archive, const cri::PodRequest& request) {
  const std::string doing = "restoring pod " + operation_.pod() + " from " + archive.name();
  Outcome outcome;
  outcome.status = Make(archive, request).While(doing);
  if (outcome.status.ok()) {
    outcome.restore = std::move(restored_);
    return outcome;
  }
  outcome.status = operation_.cancelled()
                       ? Cancelled().While(doing)
                       : Blame(agent_.config, archive, journal_.restore_operation, outcome.status);
  settled_ = Rollback();
  return outcome;
}

// Before anything of a pod is made that could not be restored.
Status CheckOnce(const settings::AgentSettings& config, const archive::Archive& archive,
                 const jobs::PodJournal& journal) {
  return wrapper::CheckOnce(config.state_dir, archive.digest(),
                            {archive.name(), journal.pod_uid, journal.pod_namespace,
                             journal.pod_name, "", journal.restore_operation, "", ""});
}

}  // namespace

Result<std::shared_ptr<Operation>> PodRestores::Start(const api::RestoreRequest& asked) {
  Result<std::shared_ptr<Operation>> started = TryStart(asked);
  RecordRefusal(agent_.metrics, metrics::Operation::kRestore, started.status());
  return started;
}

Result<std::shared_ptr<Operation>> PodRestores::TryStart(const api::RestoreRequest& asked) {
  const settings::AgentSettings& config = agent_.config;
  const seconds timeout =
      asked.timeout != seconds(0) ? asked.timeout : seconds(config.restore_timeout_s);
  const Deadline deadline = Deadline::After(timeout);
  CRYOPOD_ASSIGN_OR_RETURN(archive::Archive archive, OpenArchive(config, asked.archive));
  CRYOPOD_ASSIGN_OR_RETURN(cri::PodRequest request,
                           BuildPodRequest(config, archive, asked, deadline));
  jobs::PodJournal journal;
  journal.operation_id =
      asked.operation_id.empty() ? jobs::NewOperationId(jobs::JobKind::kPod) : asked.operation_id;
  CRYOPOD_ASSIGN_OR_RETURN(journal.restore_operation, NewUid());
  journal.archive = archive.name();
  journal.pod_uid = request.pod_uid;
  journal.pod_namespace = request.pod_namespace;
  journal.pod_name = request.pod_name;
  for (const auto& [name, container] : request.containers) journal.containers.push_back(name);
  OperationFacts facts = FactsOf(journal);
  facts.timeout = timeout;
  CRYOPOD_ASSIGN_OR_RETURN(const OperationRegister::Begun begun,
                           agent_.operations.Begin(std::move(facts)));
  const std::shared_ptr<Operation> operation = begun.operation;
  if (begun.found) return operation;
  Status ready = CheckOnce(config, archive, journal);
  if (ready.ok()) {
    ready = jobs::BeginPodJournal(config.jobs_dir(), journal).While("writing the journal");
  }
  if (!ready.ok()) {
    agent_.operations.Drop(*operation);
    return ready;
  }
  operation->OnCancel([this, operation_of_restore = journal.restore_operation] {
    restores_.EndFor(operation_of_restore);
  });
  agent_.metrics.BeginOperation(metrics::Operation::kRestore);
  workers_.Start([this, operation, archive = std::move(archive), request = std::move(request),
                  journal, handler = asked.runtime_handler, deadline](const std::stop_token&) {
    NewPod pod(agent_, *operation, journal, handler, deadline);
    Outcome outcome = pod.Restore(archive, request);
    if (!outcome.status.ok()) restores_.EndFor(journal.restore_operation);
    RecordRestore(agent_.metrics, outcome, operation->age());
    agent_.operations.Finish(operation, std::move(outcome), [&pod] { pod.RemoveJob(); });
  });
  return operation;
}

}  // namespace cryopod::daemon
