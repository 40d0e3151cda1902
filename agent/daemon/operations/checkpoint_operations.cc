#include "agent/daemon/operations/checkpoint_operations.h"

#include <chrono>
#include <thread>
#include <utility>

#include "agent/archive/store/archive_store.h"
#include "agent/checkpoint/repair_job.h"
#include "agent/daemon/operations/collect_result.h"
#include "agent/daemon/operations/describe_checkpoint.h"
#include "agent/daemon/operations/record_metrics.h"
#include "agent/jobs/job_directory.h"
#include "agent/jobs/job_file.h"
#include "agent/os/log.h"
#include "agent/os/subprocess.h"

namespace cryopod::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Of all that the runtime is asked before a checkpoint begins: one that stands still for some
// seconds is waited for, and a caller who waits 30 s longer than the operation may take still hears
// of one that does not answer.
constexpr seconds kRuntimeTimeout{20};
constexpr seconds kRestoreEndTimeout{5};
constexpr seconds kRemoveSourceTimeout{60};
constexpr seconds kRemoveCallTimeout{15};
constexpr int kStopAttemptsMax = 20;
constexpr milliseconds kStopInterval{250};
constexpr milliseconds kFollowInterval{20};

// Not every pod has a UID: it is the kubelet's, and others speak CRI too.
std::string PodKey(const std::string& pod_uid, const std::string& sandbox_id) {
  return pod_uid.empty() ? sandbox_id : pod_uid;
}

// A pod whose containers have just been let run is still the restore's for a moment.
void WaitForRestore(const AgentParts& agent, const std::string& pod_key) {
  const Deadline patience = Deadline::After(kRestoreEndTimeout);
  const std::shared_ptr<Operation> running = agent.operations.FindByPod(pod_key);
  if (running == nullptr || running->facts().kind == jobs::JobKind::kCheckpoint) return;
  for (Operation::News news; !news.finished && !patience.expired();) {
    news = running->WaitForNews(news.seen, patience);
  }
}

// Each call with a short deadline of its own: the agent may be told to end meanwhile.
//
// The runtime notes the ends of the containers that were just killed while we ask, and fails a stop
// that meets it there (containerd 2.1: "ttrpc: closed"); asked again, it does it.
Status RemoveSource(const AgentParts& agent, const std::stop_token& stop,
                    const std::string& sandbox_id) {
  const Deadline deadline = Deadline::After(kRemoveSourceTimeout);
  for (int attempt = 1; true; ++attempt) {
    Status stopped =
        agent.runtime.StopPodSandbox(sandbox_id, deadline.SoonerAfter(kRemoveCallTimeout));
    const bool gone = stopped.ok() || stopped.code() == Code::kNotFound;
    if (!gone && (attempt == kStopAttemptsMax || deadline.expired())) return stopped;
    if (stop.stop_requested()) return Status(Code::kCancelled, "the agent ends");
    if (gone) break;
    std::this_thread::sleep_for(kStopInterval);
  }
  Status removed = agent.runtime.RemovePodSandbox(sandbox_id, deadline);
  return removed.code() == Code::kNotFound ? Status() : removed;
}

// Living writers hold a lock on what they write, and so does a child that a killed one had just
// forked: after the job's end, which has ended that too.
void RemoveLeftovers(const AgentParts& agent) {
  const Result<archive::ArchiveStore> store =
      archive::ArchiveStore::Open(agent.config.store_root());
  if (store.ok()) (void)store->RemoveLeftovers({});
}

void RemoveJob(const AgentParts& agent, const OperationFacts& facts) {
  const Status removed = jobs::RemoveJob(agent.config.jobs_dir(), facts.id);
  if (removed.ok()) return;
  Log(LogLevel::kWarning, "cleaning up after a checkpoint",
      {{"operation", facts.id}, {"pod", facts.pod}, {"reason", removed.message()}});
}

void Finish(const AgentParts& agent, const std::stop_token& stop,
            const std::shared_ptr<Operation>& operation, const jobs::CheckpointJob& job) {
  const std::string job_dir = agent.job_dir(job.operation_id);
  Result<jobs::CheckpointResult> collected = CollectResult(stop, *operation, job_dir);
  // The job stays as it is: the next agent finds it and goes on here.
  if (stop.stop_requested() && !collected.ok()) return;
  if (!collected.ok()) {
    agent.operations.AddForeign(job.operation_id, collected.status());
    agent.operations.Finish(operation, {collected.status(), {}, {}});
    return;
  }
  jobs::CheckpointResult result = std::move(collected).value();
  if (result.source_killed) {
    operation->Report({"remove", "", 0, 0});
    const Status removed = RemoveSource(agent, stop, job.sandbox_id);
    if (stop.stop_requested() && !removed.ok()) return;
    if (!removed.ok() && result.status.ok()) {
      result.status = Status(removed.code(),
                             "the archive " + result.archive +
                                 " is committed and the source is stopped, but "
                                 "removing it failed: " +
                                 removed.message(),
                             removed.reason());
    }
  }
  Log(result.status.ok() ? LogLevel::kInfo : LogLevel::kWarning, "checkpoint ended",
      {{"operation", job.operation_id},
       {"pod", operation->pod()},
       {"code", std::string(CodeName(result.status.code()))},
       {"reason_code", std::string(ReasonName(result.status.reason()))},
       {"reason", result.status.message()},
       {"freeze_us", std::to_string(result.freeze_us)},
       {"bytes", std::to_string(result.size_bytes)}});
  RecordCheckpoint(agent.metrics, result, operation->age());
  const Status status = result.status;
  agent.operations.Finish(operation, {status, std::move(result), {}}, [&] {
    RemoveJob(agent, operation->facts());
    if (status.reason() == Reason::kProcessDied) RemoveLeftovers(agent);
  });
}

void Follow(const AgentParts& agent, const std::stop_token& stop,
            const std::shared_ptr<Operation>& operation, const jobs::CheckpointJob& job,
            const jobs::JobProcess& process) {
  const std::string job_dir = agent.job_dir(job.operation_id);
  size_t offset = 0;
  bool ended = false;
  while (!ended) {
    if (stop.stop_requested()) return;
    ended = process.Ended(Deadline::After(kFollowInterval));
    for (const jobs::JobEvent& event : jobs::ReadNewEvents(job_dir, offset)) {
      operation->Report(event);
    }
  }
  Finish(agent, stop, operation, job);
}

}  // namespace

Result<std::shared_ptr<Operation>> CheckpointOperations::Start(
    const api::CheckpointRequest& request) {
  Result<std::shared_ptr<Operation>> started = TryStart(request);
  RecordRefusal(agent_.metrics, metrics::Operation::kCheckpoint, started.status());
  return started;
}

Result<std::shared_ptr<Operation>> CheckpointOperations::TryStart(
    const api::CheckpointRequest& request) {
  const Deadline patience = Deadline::After(kRuntimeTimeout);
  OperationFacts facts;
  facts.id = request.operation_id;
  facts.kind = jobs::JobKind::kCheckpoint;
  facts.pod = request.pod;
  facts.archive_is_asked = !request.archive.empty();
  facts.archive = request.archive;
  const Result<cri::PodSandbox> found = agent_.runtime.FindPod(request.pod, patience);
  if (!found.ok()) {
    // One that was asked for before, of a pod that is gone because it was stopped.
    const bool may_be_known = !facts.id.empty() && found.status().code() == Code::kNotFound;
    Result<std::shared_ptr<Operation>> same =
        may_be_known ? agent_.operations.FindSame(facts) : found.status();
    return same.ok() ? same : found.status();
  }
  const cri::PodSandbox& pod = *found;
  facts.pod = pod.namespace_ + "/" + pod.name;
  facts.pod_key = PodKey(pod.uid, pod.id);
  if (!facts.archive_is_asked) facts.archive = DefaultArchiveName(pod);
  facts.timeout =
      request.timeout != seconds(0) ? request.timeout : seconds(agent_.config.checkpoint_timeout_s);
  WaitForRestore(agent_, facts.pod_key);
  CRYOPOD_ASSIGN_OR_RETURN(OperationRegister::Begun begun,
                           agent_.operations.Begin(std::move(facts)));
  if (begun.found) return begun.operation;
  Status launched = Launch(request, pod, patience, begun.operation);
  if (launched.ok()) return begun.operation;
  agent_.operations.Drop(*begun.operation);
  return launched;
}

Status CheckpointOperations::Launch(const api::CheckpointRequest& request,
                                    const cri::PodSandbox& pod, Deadline patience,
                                    const std::shared_ptr<Operation>& operation) {
  CRYOPOD_ASSIGN_OR_RETURN(const cri::RuntimeVersion version, agent_.runtime.Version(patience));
  CRYOPOD_ASSIGN_OR_RETURN(
      const jobs::CheckpointJob job,
      DescribeCheckpointJob(agent_.config, request, pod, version, operation->facts()));
  CRYOPOD_RETURN_IF_ERROR(
      jobs::CreateJobDirectory(agent_.config.jobs_dir(), job.operation_id, jobs::ToText(job)));
  const std::string job_dir = agent_.job_dir(job.operation_id);
  Result<Subprocess> process =
      jobs::StartJobProcess(agent_.config.checkpoint_program(), job_dir, job.operation_id);
  if (!process.ok()) {
    (void)jobs::RemoveJob(agent_.config.jobs_dir(), job.operation_id);
    return process.status().While("starting " + agent_.config.checkpoint_program());
  }
  Log(LogLevel::kInfo, "checkpoint started",
      {{"operation", job.operation_id}, {"pod", operation->pod()}, {"archive", job.archive}});
  StartFollower(operation, job, jobs::JobProcess(std::move(process).value()));
  return Status();
}

void CheckpointOperations::StartFollower(const std::shared_ptr<Operation>& operation,
                                         const jobs::CheckpointJob& job, jobs::JobProcess process) {
  agent_.metrics.BeginOperation(metrics::Operation::kCheckpoint);
  // The process outlives neither its follower nor, as somebody who can be asked, the operation.
  const auto asked = std::make_shared<jobs::JobProcess>(std::move(process));
  operation->OnCancel([asked] { asked->AskToEnd(); });
  followers_.Start([agent = agent_, operation, job, asked](const std::stop_token& stop) {
    Follow(agent, stop, operation, job, *asked);
  });
}

// A job whose process is gone is released here, before anything is served; the rest of its repair
// may have to wait for a CRIU and is the follower's.
void CheckpointOperations::AdoptOrRepair(const std::string& operation_id) {
  const std::string job_dir = agent_.job_dir(operation_id);
  const auto job = jobs::ReadFileOf<jobs::CheckpointJob>(job_dir, jobs::kRequestFile);
  const auto identity = jobs::ReadFileOf<jobs::ProcessIdentity>(job_dir, jobs::kProcessFile);
  const auto journal = jobs::ReadFileOf<jobs::Journal>(job_dir, jobs::kJournalFile);
  const auto result = jobs::ReadFileOf<jobs::CheckpointResult>(job_dir, jobs::kResultFile);
  const auto decided = jobs::ReadFileOf<jobs::CheckpointResult>(job_dir, jobs::kStoppingFile);
  for (const Status& status :
       {job.status(), identity.status(), journal.status(), result.status(), decided.status()}) {
    if (jobs::IsNotUnderstood(status)) return agent_.operations.AddForeign(operation_id, status);
  }
  jobs::JobProcess process = identity.ok() ? jobs::JobProcess(*identity) : jobs::JobProcess();
  if (!process.alive()) {
    const Status released = checkpoint::ReleaseJob(job_dir);
    if (!released.ok()) {
      Log(LogLevel::kError, "releasing what a dead checkpoint left",
          {{"operation", operation_id},
           {"pod", job->pod_namespace + "/" + job->pod_name},
           {"reason", released.message()}});
    }
  }
  OperationFacts facts;
  facts.id = operation_id;
  facts.kind = jobs::JobKind::kCheckpoint;
  facts.pod = job->pod_namespace + "/" + job->pod_name;
  facts.pod_key = PodKey(job->pod_uid, job->sandbox_id);
  facts.archive = job->archive;
  facts.timeout = seconds(job->timeout_s);
  Result<OperationRegister::Begun> begun = agent_.operations.Begin(std::move(facts));
  if (!begun.ok()) return;  // one a pod: the other one's end removes what is shared
  if (begun->found) {
    // All of it was done but this; of one whose result nobody understood, nothing was.
    const Operation& ended = *begun->operation;
    if (ended.outcome().status.code() != Code::kUnimplemented) RemoveJob(agent_, ended.facts());
    return;
  }
  Log(LogLevel::kInfo, process.alive() ? "checkpoint adopted" : "checkpoint repaired",
      {{"operation", operation_id}, {"pod", begun->operation->pod()}});
  StartFollower(begun->operation, *job, std::move(process));
}

}  // namespace cryopod::daemon
