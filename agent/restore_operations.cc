#include "agent/restore_operations.h"

#include <fcntl.h>

#include <chrono>
#include <csignal>
#include <utility>

#include "agent/archive/archive_store.h"
#include "agent/job_files.h"
#include "agent/operation.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"
#include "agent/os/unix_socket.h"
#include "agent/restore_job.h"
#include "restore/runtime/protocol/consumed_record.h"

namespace cryopod::agent {
namespace {

using runtime::Answer;
using runtime::Request;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kAnswerTimeout{5};
constexpr seconds kControlTimeout{10};
constexpr seconds kEndTimeout{30};
constexpr milliseconds kStateInterval{20};

std::string KeyOf(const Request& request) {
  return request.pod_uid + " " + request.restore_from + " " + request.restore_operation;
}

void SendAnswer(int connection, const Answer& answer) {
  const Status sent = runtime::Send(connection, answer, Deadline::After(kAnswerTimeout));
  if (!sent.ok()) Log(LogLevel::kWarning, "answering the runtime", {{"reason", sent.message()}});
}

// cryopod-restore listens as soon as it has read its request.
Result<UniqueFd> ConnectControl(const std::string& job_dir, const JobProcess& process) {
  const Deadline deadline = Deadline::After(kControlTimeout);
  while (true) {
    Result<UniqueFd> control = ConnectUnix(job_dir + "/" + kControlSocket, deadline);
    if (control.ok() || deadline.expired()) return control;
    if (process.Ended(Deadline::After(kStateInterval))) {
      return Status(Code::kUnavailable, "cryopod-restore has ended");
    }
  }
}

}  // namespace

RestoreOperations::RestoreOperations(const Config& config) : config_(config) {}

// A process that was killed may have left containers that are held, processes that never ran, and a
// staging area on disk: its own program knows how to end that.
Status RestoreOperations::RemoveRestoreJob(const std::string& operation_id) {
  SpawnOptions options;
  options.argv = {config_.restore_program(), "--job", config_.jobs_dir() + "/" + operation_id,
                  "--end"};
  const Result<CommandOutput> ended = RunCommand(options, Deadline::After(kEndTimeout));
  if (!ended.ok()) {
    Log(LogLevel::kWarning, "ending a restore",
        {{"operation", operation_id}, {"reason", ended.status().message()}});
  }
  return RemoveJob(config_.jobs_dir(), operation_id);
}

void RestoreOperations::Sweep() {
  const std::lock_guard lock(mutex_);
  for (auto job = jobs_.begin(); job != jobs_.end();) {
    if (job->second.process.alive()) {
      ++job;
      continue;
    }
    const Status removed = RemoveRestoreJob(job->second.operation_id);
    if (!removed.ok()) {
      Log(LogLevel::kWarning, "cleaning up after a restore",
          {{"operation", job->second.operation_id}, {"reason", removed.message()}});
    }
    job = jobs_.erase(job);
  }
}

Result<std::string> RestoreOperations::StartJob(const Request& request) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveReference reference,
                           archive::ParseArchiveReference(request.restore_from));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(config_.store_root()));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::Archive archive, store.OpenArchive(reference));
  const std::string id = NewOperationId(OperationKind::kRestore);
  const std::string job_dir = config_.jobs_dir() + "/" + id;
  CRYOPOD_RETURN_IF_ERROR(CreateJobDirectory(
      config_.jobs_dir(), id, RestoreJobJson(config_, request, id, job_dir, archive)));
  Result<Subprocess> process = StartJobProcess(config_.restore_program(), job_dir, id);
  if (!process.ok()) {
    (void)RemoveJob(config_.jobs_dir(), id);
    return process.status().While("starting " + config_.restore_program());
  }
  // An agent that starts after our death finds the process by this file.
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd directory, OpenDirectory(job_dir));
  CRYOPOD_ASSIGN_OR_RETURN(const checkpoint::ProcessIdentity identity,
                           checkpoint::IdentifyProcess(process->pid()));
  CRYOPOD_RETURN_IF_ERROR(checkpoint::WriteProcessFile(directory.get(), identity));
  Log(LogLevel::kInfo, "restore started",
      {{"operation", id},
       {"pod", request.pod_namespace + "/" + request.pod_name},
       {"archive", archive.name()}});
  jobs_.insert_or_assign(KeyOf(request), Job{id, JobProcess(std::move(process).value())});
  return job_dir;
}

// The directory of the job that restores this pod. Errors: kNotFound when there is none and
// `may_start` is false.
Result<std::string> RestoreOperations::JobFor(const Request& request, bool may_start) {
  if (const auto job = jobs_.find(KeyOf(request));
      job != jobs_.end() && job->second.process.alive()) {
    return config_.jobs_dir() + "/" + job->second.operation_id;
  }
  if (may_start) return StartJob(request);
  return Status(Code::kNotFound,
                "the restore of this pod is gone; the pod's next container is restored anew");
}

void RestoreOperations::Serve(UniqueFd connection, const std::string& frame) {
  const Result<Request> request = runtime::ParseRequest(frame);
  if (!request.ok()) return SendAnswer(connection.get(), Answer::Fail(request.status().message()));
  const bool begins =
      request->kind == Request::Kind::kSandbox || request->kind == Request::Kind::kCreate;
  if (begins) {
    const Result<bool> consumed = runtime::IsConsumed(config_.state_dir, *request);
    if (!consumed.ok()) {
      return SendAnswer(connection.get(), Answer::Fail(consumed.status().message()));
    }
    if (*consumed) {
      Log(LogLevel::kInfo, "restore already consumed: a cold start is right",
          {{"pod", request->pod_namespace + "/" + request->pod_name},
           {"container", request->container_name}});
      return SendAnswer(connection.get(), Answer::Pass());
    }
  }
  Sweep();
  const Status handed = [&]() -> Status {
    const std::lock_guard lock(mutex_);
    CRYOPOD_ASSIGN_OR_RETURN(const std::string job_dir, JobFor(*request, begins));
    const Job& job = jobs_.at(KeyOf(*request));
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd control, ConnectControl(job_dir, job.process));
    return SendFrame(control.get(), frame, Deadline::After(kControlTimeout), {connection.get()});
  }();
  if (handed.ok()) return;
  const bool harmless = request->kind == Request::Kind::kDeleted;
  const Status why = handed.While("restoring pod " + request->pod_namespace + "/" +
                                  request->pod_name + " from " + request->restore_from);
  if (!harmless) Log(LogLevel::kWarning, "restore refused", {{"reason", why.message()}});
  SendAnswer(connection.get(), harmless ? Answer::Pass() : Answer::Fail(why.message()));
}

Status RestoreOperations::AdoptOrRepair() {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<std::string> ids, ListJobs(config_.jobs_dir(), "r-"));
  const std::lock_guard lock(mutex_);
  for (const std::string& id : ids) {
    const std::string job_dir = config_.jobs_dir() + "/" + id;
    const Result<UniqueFd> directory = OpenDirectory(job_dir);
    if (!directory.ok()) continue;
    const Result<checkpoint::ProcessIdentity> identity =
        checkpoint::ReadProcessFile(directory->get());
    const Result<Request> request = RequestOfRestoreJob(job_dir);
    JobProcess process = identity.ok() ? JobProcess(*identity) : JobProcess();
    if (process.alive() && request.ok()) {
      Log(LogLevel::kInfo, "restore adopted", {{"operation", id}});
      jobs_.insert_or_assign(KeyOf(*request), Job{id, std::move(process)});
      continue;
    }
    const Status removed = RemoveRestoreJob(id);
    if (!removed.ok()) {
      Log(LogLevel::kWarning, "cleaning up after a restore",
          {{"operation", id}, {"reason", removed.message()}});
    }
  }
  return Status();
}

}  // namespace cryopod::agent
