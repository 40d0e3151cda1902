#include "agent/daemon/operations/restore_operations.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "agent/daemon/archives/archive_access.h"
#include "agent/daemon/operations/record_metrics.h"
#include "agent/jobs/job_directory.h"
#include "agent/jobs/job_file.h"
#include "agent/jobs/kept_logs.h"
#include "agent/os/log.h"
#include "agent/os/unix_socket.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/once_record.h"

namespace cryopod::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using wrapper::Answer;
using wrapper::Request;

constexpr seconds kAnswerTimeout{5};
constexpr seconds kControlTimeout{10};
constexpr seconds kEndTimeout{30};
// Below what the wrapper waits for its first answer.
constexpr seconds kStatusTimeout{20};
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

// The archive that this pod may be restored from.
Result<archive::Archive> ArchiveFor(const settings::AgentSettings& config, const Request& request) {
  CRYOPOD_ASSIGN_OR_RETURN(archive::Archive archive,
                           OpenArchiveFor(config, request.restore_from, request.pod_namespace));
  CRYOPOD_RETURN_IF_ERROR(
      wrapper::CheckOnce(config.state_dir, archive.digest(),
                         {archive.name(), request.pod_uid, request.pod_namespace, request.pod_name,
                          request.restore_from, request.restore_operation, "", ""}));
  return archive;
}

// Only what is wrong with the archive may lead to a cold start: a failure of ours, whatever its
// words, may be none the next time.
Answer RefusalOf(const settings::AgentSettings& config, const Request& request, const Status& why) {
  return ArchiveFor(config, request).ok() ? Answer::Fail(why.message()) : Answer::Refuse(why);
}

// The archive is pinned by the digest that stands under its name now.
jobs::RestoreJob DescribeRestoreJob(const AgentParts& agent, const Request& request,
                                    const archive::Archive& archive) {
  const settings::AgentSettings& config = agent.config;
  jobs::RestoreJob job;
  job.operation_id = jobs::NewOperationId(jobs::JobKind::kRestore);
  job.archive = archive.name();
  job.digest = archive.digest();
  job.pod_uid = request.pod_uid;
  job.pod_namespace = request.pod_namespace;
  job.pod_name = request.pod_name;
  job.restore_from = request.restore_from;
  job.restore_operation = request.restore_operation;
  job.restore_once = request.restore_once || archive.checkpoint().restore_once;
  job.store_root = config.store_root();
  job.state_dir = config.state_dir;
  job.unpack_program = config.unpack_program();
  job.criu_program = config.criu_program;
  job.hold_plugin = config.hold_plugin();
  job.staging_dir = agent.job_dir(job.operation_id) + "/" + jobs::kStagingDirectory;
  job.idle_timeout = seconds(config.restore_idle_timeout_s);
  job.hold = milliseconds(config.restore_hold_ms);
  return job;
}

Result<Subprocess> StartProcess(const AgentParts& agent, const jobs::RestoreJob& restore) {
  const std::string program = agent.config.restore_program();
  const std::string job_dir = agent.job_dir(restore.operation_id);
  CRYOPOD_RETURN_IF_ERROR(jobs::CreateJobDirectory(agent.config.jobs_dir(), restore.operation_id,
                                                   jobs::ToText(restore)));
  Result<Subprocess> process = jobs::StartJobProcess(program, job_dir, restore.operation_id);
  if (!process.ok()) return process.status().While("starting " + program);
  // An agent that starts after our death finds the process by this file.
  CRYOPOD_ASSIGN_OR_RETURN(const jobs::ProcessIdentity identity,
                           jobs::IdentifyProcess(process->pid()));
  CRYOPOD_RETURN_IF_ERROR(jobs::WriteFileOf(job_dir, jobs::kProcessFile, identity));
  return process;
}

// A process that was killed may have left containers that are held, processes that never ran, and a
// staging area on disk: its own program knows how to end that.
void RemoveRestoreJob(const AgentParts& agent, const std::string& operation_id,
                      const std::string& pod, bool keep_logs) {
  const std::string job_dir = agent.job_dir(operation_id);
  SpawnOptions options;
  options.argv = {agent.config.restore_program(), "--job", job_dir, "--end"};
  const Result<CommandOutput> ended = RunCommand(options, Deadline::After(kEndTimeout));
  if (!ended.ok()) {
    Log(LogLevel::kWarning, "ending a restore",
        {{"operation", operation_id}, {"reason", ended.status().message()}});
  }
  if (keep_logs) jobs::KeepLogs(job_dir, agent.config.state_dir, operation_id);
  const Status removed = jobs::RemoveJob(agent.config.jobs_dir(), operation_id);
  if (!removed.ok()) {
    Log(LogLevel::kWarning, "cleaning up after a restore",
        {{"operation", operation_id}, {"pod", pod}, {"reason", removed.message()}});
  }
}

}  // namespace

// The job's mutex is held.
void RestoreOperations::EndIfDead(Job& job) {
  const std::string id = job.restore.operation_id;
  if (id.empty() || job.process->alive()) return;
  if (job.progress) {
    const Status outcome = job.progress->End();
    agent_.operations.Finish(job.progress->operation(), {outcome, {}, {}}, [&] {
      RemoveRestoreJob(agent_, id, PodOf(job.restore), !outcome.ok());
    });
  } else {
    RemoveRestoreJob(agent_, id, PodOf(job.restore), true);
  }
  job.progress.reset();
  job.restore.operation_id.clear();
}

// mutex_ is held. An entry that somebody has in hand is not only the table's.
void RestoreOperations::DropUnused() {
  std::erase_if(jobs_, [](const auto& entry) {
    const std::unique_lock unused(entry.second->mutex, std::try_to_lock);
    return unused && entry.second->restore.operation_id.empty() && entry.second.use_count() == 1;
  });
}

void RestoreOperations::Sweep() {
  const std::lock_guard lock(mutex_);
  DropUnused();
  for (const auto& [key, job] : jobs_) {
    // Who works on it now ends it, too, if it has to be.
    const std::unique_lock unused(job->mutex, std::try_to_lock);
    if (!unused || job->restore.operation_id.empty()) continue;
    if (job->process->alive()) {
      if (job->progress) job->progress->Look();
      continue;
    }
    if (job->ending.exchange(true)) continue;
    enders_.Start([this, job = job](const std::stop_token&) {
      const std::lock_guard mine(job->mutex);
      EndIfDead(*job);
      job->ending = false;
    });
  }
}

// The job's mutex is held.
Status RestoreOperations::BeginOperation(Job& job) {
  const jobs::RestoreJob& restore = job.restore;
  const std::shared_ptr<Operation> other = agent_.operations.FindByPod(restore.pod_uid);
  const bool is_a_part = other != nullptr && !restore.restore_operation.empty() &&
                         other->facts().restore_operation == restore.restore_operation;
  if (is_a_part) return Status();
  OperationFacts facts;
  facts.id = restore.operation_id;
  facts.kind = jobs::JobKind::kRestore;
  facts.pod = PodOf(restore);
  facts.pod_key = restore.pod_uid;
  facts.archive = restore.archive;
  facts.restore_operation = restore.restore_operation;
  const Result<OperationRegister::Begun> begun = agent_.operations.Begin(std::move(facts));
  if (begun.ok()) {
    job.progress = std::make_unique<RestoreProgress>(agent_.metrics, begun->operation,
                                                     agent_.job_dir(restore.operation_id));
  } else if (other != nullptr && other->facts().kind == jobs::JobKind::kRestore) {
    // The pod is asked for anew, from another archive: what waits for it with the old one has no
    // use.
    (void)other->Cancel();
  }
  return begun.status();
}

// The job's mutex is held, and not needed by who cancels: a step may take long.
void RestoreOperations::SetProcess(Job& job, jobs::JobProcess process) {
  job.process = std::make_shared<jobs::JobProcess>(std::move(process));
  if (job.progress) {
    job.progress->operation()->OnCancel([asked = job.process] { asked->AskToEnd(); });
  }
}

// The job's mutex is held.
Status RestoreOperations::StartJob(Job& job, const Request& request) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::Archive archive, ArchiveFor(agent_.config, request));
  job.restore = DescribeRestoreJob(agent_, request, archive);
  const std::string id = job.restore.operation_id;
  Status begun = BeginOperation(job);
  Result<Subprocess> process = begun.ok() ? StartProcess(agent_, job.restore) : begun;
  if (!process.ok()) {
    (void)jobs::RemoveJob(agent_.config.jobs_dir(), id);
    if (job.progress) agent_.operations.Drop(*job.progress->operation());
    job.progress.reset();
    job.restore.operation_id.clear();
    return process.status();
  }
  Log(LogLevel::kInfo, "restore started",
      {{"operation", id}, {"pod", PodOf(request)}, {"archive", archive.name()}});
  SetProcess(job, jobs::JobProcess(std::move(process).value()));
  return Status();
}

std::shared_ptr<RestoreOperations::Job> RestoreOperations::JobOf(const Request& request) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Job>& job = jobs_[KeyOf(request)];
  if (job == nullptr) job = std::make_shared<Job>();
  return job;
}

// Hands the wrapper's connection to the pod's cryopod-restore, which is started where none runs.
Status RestoreOperations::HandOver(Job& job, const Request& request, bool may_start,
                                   int connection) {
  const std::lock_guard lock(job.mutex);
  EndIfDead(job);
  if (job.restore.operation_id.empty()) {
    if (!may_start) {
      return Status(Code::kNotFound,
                    "the restore of this pod is gone; the pod's next container is restored anew");
    }
    CRYOPOD_RETURN_IF_ERROR(StartJob(job, request));
  }
  Result<UniqueFd> control = ConnectControl(agent_.job_dir(job.restore.operation_id), *job.process);
  if (may_start && control.status().code() == Code::kUnavailable) {
    // It was about to end: for this request another one begins with what stands in the store now.
    EndIfDead(job);
    CRYOPOD_RETURN_IF_ERROR(StartJob(job, request));
    control = ConnectControl(agent_.job_dir(job.restore.operation_id), *job.process);
  }
  if (!control.ok()) return control.status();
  if (may_start && job.progress) job.progress->Begin();
  return SendFrame(control->get(), wrapper::Serialize(request), Deadline::After(kControlTimeout),
                   {connection});
}

// What only CRI knows: cryopod-restore compares it with the archive's.
Status RestoreOperations::AddImage(Request& request) const {
  CRYOPOD_ASSIGN_OR_RETURN(
      const cri::Container container,
      agent_.runtime.ContainerStatus(request.container_id, Deadline::After(kStatusTimeout))
          .While("asking for the image of container " + request.container_name));
  request.image = container.image;
  request.image_ref = container.image_ref;
  request.image_id = container.image_id;
  return Status();
}

// What is restored and has not run yet is in no record.
bool RestoreOperations::IsUntouched(const Job& job) const {
  if (job.restore.operation_id.empty()) return true;
  const auto report =
      jobs::ReadFileOf<jobs::Report>(agent_.job_dir(job.restore.operation_id), jobs::kStateFile);
  if (!report.ok()) return report.status().code() == Code::kNotFound;
  return std::ranges::none_of(report->containers, [](const jobs::ContainerReport& container) {
    return container.phase == jobs::Phase::kRestoring ||
           container.phase == jobs::Phase::kRestored || container.phase == jobs::Phase::kHeld;
  });
}

// Instead of a restore, as the pod allows. What works on that has no use any more.
Status RestoreOperations::StartCold(const Request& request) {
  const std::shared_ptr<Job> job = JobOf(request);
  const std::lock_guard lock(job->mutex);
  if (!IsUntouched(*job)) {
    return Status(Code::kFailedPrecondition,
                  "a container of the pod is restored already, and the others alone would be half "
                  "of it");
  }
  CRYOPOD_RETURN_IF_ERROR(wrapper::WriteColdStart(agent_.config.state_dir, request));
  Log(LogLevel::kWarning, "a pod starts cold in place of its restore, as its annotation allows",
      {{"pod", PodOf(request)},
       {"archive", request.restore_from},
       {"reason_code", request.failure_reason},
       {"reason", request.failure}});
  agent_.metrics.CountColdStart(ReasonFromName(request.failure_reason));
  if (!job->restore.operation_id.empty()) job->process->AskToEnd();
  return Status();
}

void RestoreOperations::Serve(UniqueFd connection, const std::string& frame) {
  Result<Request> request = wrapper::ParseRequest(frame);
  if (!request.ok()) {
    return SendAnswer(connection.get(), Request(), Answer::Fail(request.status().message()));
  }
  if (request->kind == Request::Kind::kColdStart) {
    const Status cold = StartCold(*request);
    return SendAnswer(connection.get(), *request,
                      cold.ok() ? Answer::Pass() : Answer::Fail(cold.message()));
  }
  const bool begins =
      request->kind == Request::Kind::kSandbox || request->kind == Request::Kind::kCreate;
  if (begins) {
    const Result<wrapper::Due> due = wrapper::DueOf(agent_.config.state_dir, *request);
    if (!due.ok()) {
      return SendAnswer(connection.get(), *request, Answer::Fail(due.status().message()));
    }
    if (*due == wrapper::Due::kStart) {
      Log(LogLevel::kInfo, "restore already consumed: a cold start is right",
          {{"pod", PodOf(*request)}, {"container", request->container_name}});
      return SendAnswer(connection.get(), *request, Answer::Pass());
    }
  }
  Status handed = request->kind == Request::Kind::kCreate ? AddImage(*request) : Status();
  if (handed.ok()) handed = HandOver(*JobOf(*request), *request, begins, connection.get());
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
    RecordRefusal(agent_.metrics, metrics::Operation::kRestore, why);
  }
  SendAnswer(connection.get(), *request,
             harmless ? Answer::Pass() : RefusalOf(agent_.config, *request, why));
}

void RestoreOperations::AdoptOrRepair(const std::string& operation_id) {
  const std::string job_dir = agent_.job_dir(operation_id);
  const auto restore = jobs::ReadFileOf<jobs::RestoreJob>(job_dir, jobs::kRequestFile);
  const auto identity = jobs::ReadFileOf<jobs::ProcessIdentity>(job_dir, jobs::kProcessFile);
  const auto report = jobs::ReadFileOf<jobs::Report>(job_dir, jobs::kStateFile);
  for (const Status& status : {restore.status(), identity.status(), report.status()}) {
    if (jobs::IsNotUnderstood(status)) return agent_.operations.AddForeign(operation_id, status);
  }
  jobs::JobProcess process = identity.ok() ? jobs::JobProcess(*identity) : jobs::JobProcess();
  if (!process.alive() || !restore.ok()) {
    return RemoveRestoreJob(agent_, operation_id, restore.ok() ? PodOf(*restore) : "", true);
  }
  Log(LogLevel::kInfo, "restore adopted", {{"operation", operation_id}, {"pod", PodOf(*restore)}});
  const auto job = std::make_shared<Job>();
  job->restore = *restore;
  const Status begun = BeginOperation(*job);
  if (!begun.ok()) {
    Log(LogLevel::kWarning, "a restore runs beside another operation",
        {{"operation", operation_id}, {"reason", begun.message()}});
  }
  SetProcess(*job, std::move(process));
  if (job->progress) job->progress->Begin();
  const std::lock_guard lock(mutex_);
  jobs_.insert_or_assign(KeyOf(*restore), job);
}

// A job that somebody has in hand is waited for, without the table.
template <typename Act>
void RestoreOperations::ForEachJob(const Act& act) {
  std::vector<std::shared_ptr<Job>> all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, job] : jobs_) all.push_back(job);
  }
  for (const std::shared_ptr<Job>& job : all) {
    const std::lock_guard lock(job->mutex);
    if (!job->restore.operation_id.empty()) act(*job);
  }
}

void RestoreOperations::EndFor(const std::string& restore_operation) {
  ForEachJob([&](const Job& job) {
    if (job.restore.restore_operation == restore_operation) job.process->AskToEnd();
  });
}

std::vector<std::string> RestoreOperations::ListPods() {
  std::vector<std::string> uids;
  ForEachJob([&](const Job& job) { uids.push_back(job.restore.pod_uid); });
  return uids;
}

void RestoreOperations::EndForPod(const std::string& pod_uid) {
  ForEachJob([&](const Job& job) {
    if (job.restore.pod_uid != pod_uid || !job.process->alive()) return;
    Log(LogLevel::kInfo, "the pod of a restore is gone",
        {{"operation", job.restore.operation_id}, {"pod", PodOf(job.restore)}});
    job.process->AskToEnd();
  });
}

}  // namespace cryopod::daemon
