#include "agent/daemon/pods/restore_pod.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "agent/archive/store/archive_store.h"
#include "agent/daemon/operations/restore_count.h"
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

// One pod on its way: what was made is removed unless Keep is called.
class NewPod {
 public:
  NewPod(const RestoreParts& parts, const RestoreOptions& options, const StageReport& report,
         Deadline deadline)
      : config_(parts.config),
        runtime_(parts.runtime),
        table_(parts.table),
        options_(options),
        report_(report),
        deadline_(deadline) {
    journal_.operation_id = jobs::NewPodJobId();
    journal_.restore_operation = NewUid();
  }
  ~NewPod() {
    const bool settled = kept_ || Rollback();
    if (settled && journaled_) (void)jobs::RemoveJob(config_.jobs_dir(), journal_.operation_id);
    if (operation_ != nullptr) table_.End(*operation_);
  }

  // Takes the pod for this operation and writes it into the journal. Nothing is made before.
  Status Begin(const archive::Archive& archive, const cri::PodRequest& request);
  Status Make(const archive::Archive& archive, const cri::PodRequest& request);
  const std::string& restore_operation() const { return journal_.restore_operation; }
  RestoreReport Keep() {
    kept_ = true;
    return std::move(restored_);
  }

 private:
  void Enter(const std::string& stage, const std::string& container = "") {
    const auto now = Deadline::Clock::now();
    if (!stage_.empty()) {
      const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now - began_);
      restored_.phases.push_back({stage_, static_cast<uint64_t>(us.count())});
    }
    stage_ = container.empty() ? stage : stage + " " + container;
    began_ = now;
    if (stage.empty()) return;
    operation_->Report({stage, container, 0, 0});
    report_(stage, container);
  }
  Status MakeContainers(const cri::PodRequest& request, const std::string& sandbox_config);
  Status Verify(const archive::Archive& archive, const cri::PodRequest& request);
  bool Rollback();

  const settings::AgentSettings& config_;
  cri::RuntimeClient& runtime_;
  OperationTable& table_;
  const RestoreOptions& options_;
  const StageReport& report_;
  const Deadline deadline_;
  // Its restore_operation tells this restore from an earlier one of a pod with the same UID.
  jobs::RestoreJournal journal_;
  bool journaled_ = false;
  std::shared_ptr<Operation> operation_;
  RestoreReport restored_;
  std::string stage_;
  Deadline::Clock::time_point began_;
  bool kept_ = false;
};

Status NewPod::Begin(const archive::Archive& archive, const cri::PodRequest& request) {
  CRYOPOD_ASSIGN_OR_RETURN(operation_, table_.Begin(OperationKind::kRestore,
                                                    request.pod_namespace + "/" + request.pod_name,
                                                    request.pod_uid, journal_.operation_id));
  journal_.archive = archive.name();
  journal_.pod_uid = request.pod_uid;
  journal_.pod_namespace = request.pod_namespace;
  journal_.pod_name = request.pod_name;
  for (const auto& [name, config] : request.containers) journal_.containers.push_back(name);
  journaled_ = true;
  return jobs::BeginRestoreJournal(config_, journal_).While("writing the journal");
}

// False when something is left, which the journal then remembers.
bool NewPod::Rollback() {
  if (restored_.sandbox_id.empty()) return true;
  const Deadline deadline = Deadline::After(kRollbackTimeout);
  Status removed = runtime_.StopPodSandbox(restored_.sandbox_id, deadline);
  if (removed.ok()) removed = runtime_.RemovePodSandbox(restored_.sandbox_id, deadline);
  if (!removed.ok()) {
    Log(LogLevel::kError, "removing a pod whose restore failed",
        {{"operation", journal_.operation_id},
         {"pod", operation_ != nullptr ? operation_->pod() : ""},
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
    Enter("create", name);
    CRYOPOD_ASSIGN_OR_RETURN(
        std::string id,
        runtime_.CreateContainer(restored_.sandbox_id, config, sandbox_config, deadline_)
            .While("creating container " + name));
    restored_.containers.push_back({name, std::move(id), 0});
  }
  for (const RestoreReport::Container& container : restored_.containers) {
    Enter("restore", container.name);
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
  Enter("verify");
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
  Enter("sandbox");
  CRYOPOD_ASSIGN_OR_RETURN(
      const std::string sandbox_config,
      cri::AddAnnotations(
          request.sandbox_config_json,
          {{wrapper::kRestoreFromAnnotation, archive.name() + "@" + archive.digest()},
           {wrapper::kRestoreOperationAnnotation, journal_.restore_operation}}));
  CRYOPOD_RETURN_IF_ERROR(MakeLogDirectory(sandbox_config));
  const std::string handler =
      options_.runtime_handler.empty() ? kDefaultHandler : options_.runtime_handler;
  CRYOPOD_ASSIGN_OR_RETURN(restored_.sandbox_id,
                           runtime_.RunPodSandbox(sandbox_config, handler, deadline_));
  journal_.sandbox_id = restored_.sandbox_id;
  CRYOPOD_RETURN_IF_ERROR(jobs::RecordSandbox(config_, journal_).While("writing the journal"));
  CRYOPOD_RETURN_IF_ERROR(MakeContainers(request, sandbox_config));
  CRYOPOD_RETURN_IF_ERROR(Verify(archive, request));
  Enter("");
  return Status();
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

}  // namespace

Result<RestoreReport> RestorePod(const RestoreParts& parts, const RestoreOptions& options,
                                 const StageReport& report) {
  const settings::AgentSettings& config = parts.config;
  const Deadline deadline = Deadline::After(
      seconds(options.timeout_s != 0 ? options.timeout_s : config.restore_timeout_s));
  report("open", "");
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveReference reference,
                           archive::ParseArchiveReference(options.archive));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(config.store_root()));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::Archive archive, store.OpenArchive(reference));
  CRYOPOD_ASSIGN_OR_RETURN(const cri::PodRequest request,
                           BuildPodRequest(config, archive, options.request_json,
                                           options.request_from_archive, deadline));
  NewPod pod(parts, options, report, deadline);
  CRYOPOD_RETURN_IF_ERROR(pod.Begin(archive, request));
  const Status made = pod.Make(archive, request)
                          .While("restoring pod " + request.pod_namespace + "/" + request.pod_name +
                                 " from " + archive.name());
  if (!made.ok()) return Blame(config, archive, pod.restore_operation(), made);
  return pod.Keep();
}

}  // namespace cryopod::daemon
