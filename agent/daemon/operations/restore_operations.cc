#include "agent/daemon/operations/restore_operations.h"

#include <fcntl.h>

#include <chrono>
#include <csignal>
#include <utility>

#include "agent/daemon/archives/archive_access.h"
#include "agent/daemon/operations/describe_restore.h"
#include "agent/daemon/operations/record_metrics.h"
#include "agent/jobs/job_directory.h"
#include "agent/jobs/job_file.h"
#include "agent/jobs/kept_logs.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"
#include "agent/os/unix_socket.h"
#include "restore/runtime/protocol/consumed_record.h"

namespace cryopod::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using wrapper::Answer;
using wrapper::Request;

constexpr seconds kAnswerTimeout{5};
constexpr seconds kControlTimeout{10};
constexpr seconds kEndTimeout{30};
constexpr milliseconds kStateInterval{20};

// Of a request and of a job: the fields have the same names.
template <typename T>
std::string KeyOf(const T& of) {
  return of.pod_uid + " " + of.restore_from + " " + of.restore_operation;
}

template <typename T>
std::string PodOf(const T& of) {
  return of.pod_namespace + "/" + of.pod_name;
}

void SendAnswer(int connection, const Request& request, const Answer& answer) {
  const Status sent = wrapper::Send(connection, answer, Deadline::After(kAnswerTimeout));
  if (!sent.ok()) {
    Log(LogLevel::kWarning, "answering the runtime",
        {{"pod", PodOf(request)},
         {"container", request.container_name},
         {"reason", sent.message()}});
  }
}

// cryopod-restore listens as soon as it has read its request.
Result<UniqueFd> ConnectControl(const std::string& job_dir, const jobs::JobProcess& process) {
  const Deadline deadline = Deadline::After(kControlTimeout);
  while (true) {
    Result<UniqueFd> control = ConnectUnix(job_dir + "/" + jobs::kControlSocket, deadline);
    if (control.ok() || deadline.expired()) return control;
    if (process.Ended(Deadline::After(kStateInterval))) {
      return Status(Code::kUnavailable, "cryopod-restore has ended");
    }
  }
}

Status RestoreIsGone() {
  return Status(Code::kNotFound,
                "the restore of this pod is gone; the pod's next container is restored anew");
}

}  // namespace

RestoreOperations::RestoreOperations(const settings::AgentSettings& config,
                                     OperationRegister& operations, metrics::AgentMetrics& metrics)
    : config_(config), operations_(operations), metrics_(metrics) {}

// A process that was killed may have left containers that are held, processes that never ran, and a
// staging area on disk: its own program knows how to end that.
void RestoreOperations::RemoveRestoreJob(const std::string& operation_id, const std::string& pod,
                                         bool keep_logs) {
  const std::string job_dir = config_.jobs_dir() + "/" + operation_id;
  SpawnOptions options;
  options.argv = {config_.restore_program(), "--job", job_dir, "--end"};
  const Result<CommandOutput> ended = RunCommand(options, Deadline::After(kEndTimeout));
  if (!ended.ok()) {
    Log(LogLevel::kWarning, "ending a restore",
        {{"operation", operation_id}, {"reason", ended.status().message()}});
  }
  if (keep_logs) jobs::KeepLogs(job_dir, config_.state_dir, operation_id);
  const Status removed = jobs::RemoveJob(config_.jobs_dir(), operation_id);
  if (!removed.ok()) {
    Log(LogLevel::kWarning, "cleaning up after a restore",
        {{"operation", operation_id}, {"pod", pod}, {"reason", removed.message()}});
  }
}

// The job's mutex is held.
void RestoreOperations::EndIfDead(Job& job) {
  if (job.operation_id.empty() || job.process->alive()) return;
  if (job.progress) {
    const Status outcome = job.progress->End();
    operations_.Finish(job.progress->operation(), {outcome, {}, {}},
                       [&] { RemoveRestoreJob(job.operation_id, job.pod, !outcome.ok()); });
  } else {
    RemoveRestoreJob(job.operation_id, job.pod, true);
  }
  job.progress.reset();
  job.operation_id.clear();
}

// mutex_ is held. An entry that somebody has in hand is not only the table's.
void RestoreOperations::DropUnused() {
  std::erase_if(jobs_, [](const auto& entry) {
    const std::unique_lock unused(entry.second->mutex, std::try_to_lock);
    return unused && entry.second->operation_id.empty() && entry.second.use_count() == 1;
  });
}

void RestoreOperations::Sweep() {
  const std::lock_guard lock(mutex_);
  enders_.remove_if([](const Ender& ender) { return ender.ended.load(); });
  DropUnused();
  for (const auto& [key, job] : jobs_) {
    // Who works on it now ends it, too, if it has to be.
    const std::unique_lock unused(job->mutex, std::try_to_lock);
    if (!unused || job->operation_id.empty()) continue;
    if (job->process->alive()) {
      if (job->progress) job->progress->Look();
      continue;
    }
    if (job->ending.exchange(true)) continue;
    Ender& ender = enders_.emplace_back();
    ender.thread = std::jthread([this, job, &ended = ender.ended] {
      {
        const std::lock_guard mine(job->mutex);
        EndIfDead(*job);
      }
      job->ending = false;
      ended = true;
    });
  }
}

// The pod is asked for anew, from another archive: what waits for it with the old one has no use.
void RestoreOperations::EndOthers(const std::string& pod_uid) {
  for (const std::shared_ptr<Operation>& operation : operations_.ListRunning()) {
    const OperationFacts& facts = operation->facts();
    if (facts.kind == jobs::JobKind::kRestore && facts.pod_key == pod_uid) {
      (void)operation->Cancel();
    }
  }
}

// The job's mutex is held.
Status RestoreOperations::BeginOperation(const std::shared_ptr<Job>& job, const Request& request,
                                         const std::string& archive,
                                         const std::string& operation_id) {
  if (operations_.FindByRestoreOperation(request.restore_operation) != nullptr) return Status();
  OperationFacts facts;
  facts.id = operation_id;
  facts.kind = jobs::JobKind::kRestore;
  facts.pod = PodOf(request);
  facts.pod_key = request.pod_uid;
  facts.archive = archive;
  facts.restore_operation = request.restore_operation;
  Result<OperationRegister::Begun> started = operations_.Begin(std::move(facts));
  if (!started.ok()) {
    EndOthers(request.pod_uid);
    return started.status();
  }
  OperationRegister::Begun begun = std::move(started).value();
  job->progress = std::make_unique<RestoreProgress>(metrics_, begun.operation,
                                                    config_.jobs_dir() + "/" + operation_id);
  return Status();
}

// The job's mutex is held, and not needed by who cancels: a step may take long.
void RestoreOperations::SetProcess(Job& job, jobs::JobProcess process) {
  job.process = std::make_shared<jobs::JobProcess>(std::move(process));
  if (job.progress) {
    job.progress->operation()->OnCancel([asked = job.process] { asked->AskToEnd(); });
  }
}

// The job's mutex is held.
Status RestoreOperations::StartJob(const std::shared_ptr<Job>& job, const Request& request) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::Archive archive,
                           OpenArchiveFor(config_, request.restore_from, request.pod_namespace));
  const std::string id = jobs::NewOperationId(jobs::JobKind::kRestore);
  const std::string job_dir = config_.jobs_dir() + "/" + id;
  CRYOPOD_RETURN_IF_ERROR(BeginOperation(job, request, archive.name(), id));
  const auto start = [&]() -> Result<Subprocess> {
    CRYOPOD_RETURN_IF_ERROR(jobs::CreateJobDirectory(
        config_.jobs_dir(), id,
        jobs::ToText(DescribeRestoreJob(config_, request, id, job_dir, archive))));
    Result<Subprocess> process = jobs::StartJobProcess(config_.restore_program(), job_dir, id);
    if (!process.ok()) return process.status().While("starting " + config_.restore_program());
    // An agent that starts after our death finds the process by this file.
    CRYOPOD_ASSIGN_OR_RETURN(const jobs::ProcessIdentity identity,
                             jobs::IdentifyProcess(process->pid()));
    CRYOPOD_RETURN_IF_ERROR(jobs::WriteFileOf(job_dir, jobs::kProcessFile, identity));
    return process;
  };
  Result<Subprocess> process = start();
  if (!process.ok()) {
    (void)jobs::RemoveJob(config_.jobs_dir(), id);
    if (job->progress) operations_.Drop(*job->progress->operation());
    job->progress.reset();
    return process.status();
  }
  Log(LogLevel::kInfo, "restore started",
      {{"operation", id}, {"pod", PodOf(request)}, {"archive", archive.name()}});
  job->operation_id = id;
  job->pod = PodOf(request);
  job->restore_operation = request.restore_operation;
  SetProcess(*job, jobs::JobProcess(std::move(process).value()));
  return Status();
}

// The entry of the pod that asks, or nullptr when there is none and `may_start` is false.
std::shared_ptr<RestoreOperations::Job> RestoreOperations::JobOf(const Request& request,
                                                                 bool may_start) {
  const std::lock_guard lock(mutex_);
  const auto found = jobs_.find(KeyOf(request));
  if (found != jobs_.end()) return found->second;
  if (!may_start) return nullptr;
  return jobs_.emplace(KeyOf(request), std::make_shared<Job>()).first->second;
}

// Hands the wrapper's connection to the pod's cryopod-restore, which is started where none runs.
Status RestoreOperations::HandOver(const std::shared_ptr<Job>& job, const Request& request,
                                   bool may_start, int connection, const std::string& frame) {
  const std::lock_guard lock(job->mutex);
  EndIfDead(*job);
  if (job->operation_id.empty()) {
    if (!may_start) return RestoreIsGone();
    CRYOPOD_RETURN_IF_ERROR(StartJob(job, request));
  }
  CRYOPOD_ASSIGN_OR_RETURN(
      const UniqueFd control,
      ConnectControl(config_.jobs_dir() + "/" + job->operation_id, *job->process));
  if (may_start && job->progress) job->progress->Begin();
  return SendFrame(control.get(), frame, Deadline::After(kControlTimeout), {connection});
}

void RestoreOperations::Serve(UniqueFd connection, const std::string& frame) {
  const Result<Request> request = wrapper::ParseRequest(frame);
  if (!request.ok()) {
    return SendAnswer(connection.get(), Request(), Answer::Fail(request.status().message()));
  }
  const bool begins =
      request->kind == Request::Kind::kSandbox || request->kind == Request::Kind::kCreate;
  if (begins) {
    const Result<bool> consumed = wrapper::IsConsumed(config_.state_dir, *request);
    if (!consumed.ok()) {
      return SendAnswer(connection.get(), *request, Answer::Fail(consumed.status().message()));
    }
    if (*consumed) {
      Log(LogLevel::kInfo, "restore already consumed: a cold start is right",
          {{"pod", PodOf(*request)}, {"container", request->container_name}});
      return SendAnswer(connection.get(), *request, Answer::Pass());
    }
  }
  const std::shared_ptr<Job> job = JobOf(*request, begins);
  const Status handed =
      job == nullptr ? RestoreIsGone() : HandOver(job, *request, begins, connection.get(), frame);
  if (handed.ok()) return;
  const bool harmless = request->kind == Request::Kind::kDeleted;
  const Status why =
      handed.While("restoring pod " + PodOf(*request) + " from " + request->restore_from);
  if (!harmless) {
    Log(LogLevel::kWarning, "restore refused",
        {{"pod", PodOf(*request)},
         {"container", request->container_name},
         {"reason", why.message()}});
  }
  if (begins && request->restore_operation.empty()) {
    RecordRefusal(metrics_, metrics::Operation::kRestore, why);
  }
  SendAnswer(connection.get(), *request, harmless ? Answer::Pass() : Answer::Fail(why.message()));
}

void RestoreOperations::AdoptOrRepair(const std::string& operation_id) {
  const std::string job_dir = config_.jobs_dir() + "/" + operation_id;
  const Result<jobs::RestoreJob> restore = jobs::ReadRestoreJob(job_dir);
  const auto identity = jobs::ReadFileOf<jobs::ProcessIdentity>(job_dir, jobs::kProcessFile);
  const auto report = jobs::ReadFileOf<jobs::Report>(job_dir, jobs::kStateFile);
  for (const Status& status : {restore.status(), identity.status(), report.status()}) {
    if (jobs::IsNotUnderstood(status)) return operations_.AddForeign(operation_id, status);
  }
  jobs::JobProcess process = identity.ok() ? jobs::JobProcess(*identity) : jobs::JobProcess();
  if (!process.alive() || !restore.ok()) {
    return RemoveRestoreJob(operation_id, restore.ok() ? PodOf(*restore) : "", true);
  }
  Log(LogLevel::kInfo, "restore adopted", {{"operation", operation_id}, {"pod", PodOf(*restore)}});
  const auto job = std::make_shared<Job>();
  job->operation_id = operation_id;
  job->pod = PodOf(*restore);
  job->restore_operation = restore->restore_operation;
  wrapper::Request request;
  request.pod_uid = restore->pod_uid;
  request.pod_namespace = restore->pod_namespace;
  request.pod_name = restore->pod_name;
  request.restore_operation = restore->restore_operation;
  const Status begun = BeginOperation(job, request, restore->archive, operation_id);
  if (!begun.ok()) {
    Log(LogLevel::kWarning, "a restore runs beside another operation",
        {{"operation", operation_id}, {"reason", begun.message()}});
  }
  SetProcess(*job, std::move(process));
  if (job->progress) job->progress->Begin();
  const std::lock_guard lock(mutex_);
  jobs_.insert_or_assign(KeyOf(*restore), job);
}

void RestoreOperations::EndFor(const std::string& restore_operation) {
  std::vector<std::shared_ptr<Job>> all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, job] : jobs_) all.push_back(job);
  }
  for (const std::shared_ptr<Job>& job : all) {
    const std::lock_guard lock(job->mutex);
    if (job->restore_operation == restore_operation) job->process->AskToEnd();
  }
}

}  // namespace cryopod::daemon
