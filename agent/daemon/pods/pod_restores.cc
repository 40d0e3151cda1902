#include "agent/daemon/pods/pod_restores.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "agent/archive/store/archive_store.h"
#include "agent/daemon/operations/record_metrics.h"
#include "agent/daemon/operations/restore_progress.h"
#include "agent/daemon/pods/restore_request.h"
#include "agent/jobs/job_directory.h"
#include "agent/jobs/pod_journal.h"
#include "agent/os/deadline.h"
#include "agent/os/directory.h"
#include "agent/os/log.h"
#include "agent/os/proc.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kDefaultHandler[] = "cryopod";
constexpr seconds kRollbackTimeout{60};
constexpr seconds kReleaseTimeout{30};
constexpr milliseconds kReleaseInterval{5};
constexpr seconds kBlameTimeout{60};

Status Cancelled() { return Status(Code::kCancelled, "the operation was cancelled"); }

// One pod on its way.
class NewPod {
 public:
  NewPod(const RestoreParts& parts, Operation& operation, jobs::PodJournal journal,
         std::string runtime_handler, Deadline deadline)
      : config_(parts.config),
        runtime_(parts.runtime),
        operation_(operation),
        runtime_handler_(std::move(runtime_handler)),
        deadline_(deadline),
        journal_(std::move(journal)) {}

  // The whole pod, or nothing: on any error what was made is removed again.
  Outcome Restore(const archive::Archive& archive, const cri::PodRequest& request);
  // Unless something is left: the journal then remembers it.
  void RemoveJob() const {
    if (settled_) (void)jobs::RemoveJob(config_.jobs_dir(), journal_.operation_id);
  }

 private:
  // Errors: kCancelled.
  Status Enter(const std::string& stage, const std::string& container = "");
  Status Make(const archive::Archive& archive, const cri::PodRequest& request);
  Status MakeContainers(const cri::PodRequest& request, const std::string& sandbox_config);
  Status Verify(const archive::Archive& archive, const cri::PodRequest& request);
  bool Rollback();

  const settings::AgentSettings& config_;
  cri::RuntimeClient& runtime_;
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

// False when something is left.
bool NewPod::Rollback() {
  if (restored_.sandbox_id.empty()) return true;
  const Deadline deadline = Deadline::After(kRollbackTimeout);
  Status removed = runtime_.StopPodSandbox(restored_.sandbox_id, deadline);
  if (removed.ok()) removed = runtime_.RemovePodSandbox(restored_.sandbox_id, deadline);
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
        runtime_.CreateContainer(restored_.sandbox_id, config, sandbox_config, deadline_)
            .While("creating container " + name));
    restored_.containers.push_back({name, std::move(id), 0});
  }
  for (const RestoreReport::Container& container : restored_.containers) {
    CRYOPOD_RETURN_IF_ERROR(Enter("restore", container.name));
    CRYOPOD_RETURN_IF_ERROR(runtime_.StartContainer(container.id, deadline_)
                                .While("restoring container " + container.name));
  }
  return Status();
}

bool HadFinished(const archive::PodCheckpoint& checkpoint, const std::string& name) {
  return std::any_of(checkpoint.finished.begin(), checkpoint.finished.end(),
                     [&](const auto& container) { return container.name == name; });
}

// A pod that runs is no proof that it was restored: the consumed records are.
Status NewPod::Verify(const archive::Archive& archive, const cri::PodRequest& request) {
  CRYOPOD_RETURN_IF_ERROR(Enter("verify"));
  const Deadline deadline = deadline_.SoonerAfter(kReleaseTimeout);
  for (RestoreReport::Container& container : restored_.containers) {
    if (HadFinished(archive.checkpoint(), container.name)) continue;
    const Result<wrapper::ConsumedRecord> record =
        wrapper::ReadConsumed(config_.state_dir, request.pod_uid, container.name);
    if (!record.ok() || record->restore_operation != journal_.restore_operation) {
      return Status(Code::kInternal,
                    "container " + container.name + " runs and was not restored by this operation");
    }
    CRYOPOD_ASSIGN_OR_RETURN(const cri::Container live,
                             runtime_.ContainerStatus(container.id, deadline));
    container.pid = live.pid;
    // Stopped as long as the pod's other containers are waited for.
    for (char state = 'T'; state == 'T'; std::this_thread::sleep_for(kReleaseInterval)) {
      CRYOPOD_ASSIGN_OR_RETURN(const ProcessInfo info,
                               ReadProcessInfo(live.pid).While("container " + container.name +
                                                               " ended after its restore"));
      state = info.state;
      if (deadline.expired()) {
        return Status(Code::kDeadlineExceeded,
                      "container " + container.name + " was restored and not let go in time");
      }
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
           {wrapper::kRestoreOperationAnnotation, journal_.restore_operation}}));
  CRYOPOD_RETURN_IF_ERROR(MakeLogDirectory(sandbox_config));
  const std::string handler = runtime_handler_.empty() ? kDefaultHandler : runtime_handler_;
  CRYOPOD_ASSIGN_OR_RETURN(restored_.sandbox_id,
                           runtime_.RunPodSandbox(sandbox_config, handler, deadline_));
  journal_.sandbox_id = restored_.sandbox_id;
  CRYOPOD_RETURN_IF_ERROR(
      jobs::RecordSandbox(config_.jobs_dir(), journal_).While("writing the journal"));
  CRYOPOD_RETURN_IF_ERROR(MakeContainers(request, sandbox_config));
  CRYOPOD_RETURN_IF_ERROR(Verify(archive, request));
  return Enter("");
}

// The runtime hands on the words of a failure and neither its code nor its reason; whether the
// archive is to blame can be found out, and the restore's own report knows the reason.
Status Blame(const settings::AgentSettings& config, const archive::Archive& archive,
             const std::string& operation, const Status& failure) {
  const auto nobody_watches = [](uint64_t, uint64_t) {};
  const Result<uint64_t> verified = archive.Verify(nobody_watches, Deadline::After(kBlameTimeout));
  const bool damaged = !verified.ok() && verified.status().code() == Code::kDataLoss;
  if (damaged) return Status(Code::kDataLoss, failure.message());
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
                       : Blame(config_, archive, journal_.restore_operation, outcome.status);
  settled_ = Rollback();
  return outcome;
}

}  // namespace

Result<std::shared_ptr<Operation>> PodRestores::Start(const RestoreOptions& options) {
  Result<std::shared_ptr<Operation>> started = TryStart(options);
  if (!started.ok()) {
    RecordRefusal(parts_.metrics, metrics::Operation::kRestore, started.status());
  }
  return started;
}

Result<std::shared_ptr<Operation>> PodRestores::TryStart(const RestoreOptions& options) {
  const settings::AgentSettings& config = parts_.config;
  OperationFacts facts;
  facts.timeout = seconds(options.timeout_s != 0 ? options.timeout_s : config.restore_timeout_s);
  const Deadline deadline = Deadline::After(facts.timeout);
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveReference reference,
                           archive::ParseArchiveReference(options.archive));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(config.store_root()));
  CRYOPOD_ASSIGN_OR_RETURN(archive::Archive archive, store.OpenArchive(reference));
  CRYOPOD_ASSIGN_OR_RETURN(cri::PodRequest request,
                           BuildPodRequest(config, archive, options.request_json,
                                           options.request_from_archive, deadline));
  facts.id = options.operation_id.empty() ? jobs::NewOperationId(jobs::JobKind::kPod)
                                          : options.operation_id;
  facts.kind = jobs::JobKind::kPod;
  facts.pod = request.pod_namespace + "/" + request.pod_name;
  facts.pod_key = request.pod_uid;
  facts.archive = archive.name();
  facts.restore_operation = NewUid();
  jobs::PodJournal journal{facts.id,
                           facts.restore_operation,
                           facts.archive,
                           request.pod_uid,
                           request.pod_namespace,
                           request.pod_name,
                           {},
                           ""};
  for (const auto& [name, container] : request.containers) journal.containers.push_back(name);
  CRYOPOD_ASSIGN_OR_RETURN(OperationRegister::Begun begun,
                           parts_.operations.Begin(std::move(facts)));
  const std::shared_ptr<Operation> operation = begun.operation;
  if (begun.found) return operation;
  const Status journaled = jobs::BeginPodJournal(config.jobs_dir(), journal);
  if (!journaled.ok()) {
    parts_.operations.Drop(*operation);
    return journaled.While("writing the journal");
  }
  operation->OnCancel([this, restore_operation = journal.restore_operation] {
    parts_.restores.EndFor(restore_operation);
  });
  parts_.metrics.BeginOperation(metrics::Operation::kRestore);
  const std::lock_guard lock(mutex_);
  workers_.remove_if([](const Worker& worker) { return worker.ended.load(); });
  Worker& worker = workers_.emplace_back();
  worker.thread =
      std::jthread([this, &ended = worker.ended, operation, archive = std::move(archive),
                    request = std::move(request), journal = std::move(journal),
                    handler = options.runtime_handler, deadline] {
        NewPod pod(parts_, *operation, journal, handler, deadline);
        Outcome outcome = pod.Restore(archive, request);
        RecordRestore(parts_.metrics, outcome, operation->age());
        parts_.operations.Finish(operation, std::move(outcome), [&pod] { pod.RemoveJob(); });
        ended = true;
      });
  return operation;
}

}  // namespace cryopod::daemon
