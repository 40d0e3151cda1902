#include "agent/daemon/sockets/operation_calls.h"

#include <chrono>
#include <utility>

#include "agent/jobs/kept_logs.h"
#include "agent/os/text.h"

namespace cryopod::daemon {
namespace {

using std::chrono::milliseconds;

// How soon it is seen that the caller is gone.
constexpr milliseconds kNewsInterval{200};
// Below what one message of gRPC may hold.
constexpr size_t kLogChunkBytes = size_t{1} << 20;

std::vector<api::Phase> ToApi(const std::vector<archive::PhaseTiming>& phases) {
  std::vector<api::Phase> out;
  for (const archive::PhaseTiming& phase : phases) out.push_back({phase.name, phase.duration_us});
  return out;
}

api::OperationResult ToApi(const jobs::CheckpointResult& from) {
  api::CheckpointResult to;
  to.archive = from.archive;
  to.digest = from.digest;
  to.size_bytes = from.size_bytes;
  to.captured_bytes = from.captured_bytes;
  to.freeze_us = from.freeze_us;
  to.phases = ToApi(from.phases);
  to.lacks = from.lacks;
  to.external_files = from.external_files;
  to.source_stopped = from.source_killed;
  return to;
}

api::OperationResult ToApi(const RestoreReport& from) {
  api::RestoreResult to;
  to.pod_sandbox_id = from.sandbox_id;
  for (const RestoreReport::Container& container : from.containers) {
    to.containers.push_back({container.name, container.id, static_cast<uint32_t>(container.pid)});
  }
  to.phases = ToApi(from.phases);
  to.outcome = "restored";
  return to;
}

api::Operation Describe(const OperationRegister& operations, const OperationFacts& facts) {
  api::Operation described;
  described.operation_id = facts.id;
  described.kind = facts.kind == jobs::JobKind::kCheckpoint ? "checkpoint" : "restore";
  described.pod = facts.pod;
  described.archive = facts.archive;
  described.began = FormatTime(facts.began.time_since_epoch());
  described.timeout_seconds = static_cast<uint32_t>(facts.timeout.count());
  described.log_folder = operations.LogFolder(facts.id);
  return described;
}

api::Operation DescribeEnded(const OperationRegister& operations, const Operation& operation) {
  api::Operation described = Describe(operations, operation.facts());
  const Status& status = operation.outcome().status;
  described.state = status.ok()                         ? "succeeded"
                    : status.code() == Code::kCancelled ? "cancelled"
                                                        : "failed";
  if (status.ok()) return described;
  described.code = CodeName(status.code());
  described.reason = ReasonName(status.reason());
  described.message = status.message();
  return described;
}

}  // namespace

Result<api::OperationResult> FollowOperation(const Operation& operation,
                                             const api::ProgressSink& writer,
                                             const std::function<bool()>& caller_is_gone) {
  for (Operation::News news; !news.finished;) {
    if (caller_is_gone()) {
      return Status(Code::kCancelled, "the caller went away; the operation goes on");
    }
    news = operation.WaitForNews(news.seen, Deadline::After(kNewsInterval));
    for (const jobs::JobEvent& event : news.events) {
      writer({operation.id(), event.stage, event.container, event.bytes_done, event.bytes_total});
    }
  }
  const Outcome& outcome = operation.outcome();
  if (!outcome.status.ok()) return outcome.status;
  return operation.facts().kind == jobs::JobKind::kCheckpoint ? ToApi(outcome.checkpoint)
                                                              : ToApi(outcome.restore);
}

std::vector<api::Operation> DescribeOperations(const OperationRegister& operations, bool ended) {
  std::vector<api::Operation> list;
  for (const std::shared_ptr<Operation>& operation : operations.ListRunning()) {
    api::Operation& described = list.emplace_back(Describe(operations, operation->facts()));
    const jobs::JobEvent progress = operation->progress();
    described.state = "running";
    described.stage = progress.stage;
    described.container = progress.container;
    described.bytes_done = progress.bytes_done;
    described.bytes_total = progress.bytes_total;
  }
  for (const ForeignJob& job : operations.ListForeign()) {
    api::Operation& described = list.emplace_back();
    described.operation_id = job.id;
    described.kind = "unknown";
    described.state = "foreign";
    described.stage = "not understood";
    described.message = job.why;
  }
  if (!ended) return list;
  for (const std::shared_ptr<Operation>& operation : operations.ListEnded()) {
    list.push_back(DescribeEnded(operations, *operation));
  }
  return list;
}

Status SendLogs(const settings::AgentSettings& config, const OperationRegister& operations,
                const std::string& operation_id, const LogWriter& writer) {
  const Status known = operations.Find(operation_id).status();
  if (!known.ok()) return known;
  const std::vector<jobs::LogFile> logs =
      jobs::FindLogs(config.jobs_dir() + "/" + operation_id, config.state_dir, operation_id);
  if (logs.empty()) {
    return Status(Code::kNotFound, "operation " + operation_id +
                                       " has no logs: they are kept of the last " +
                                       std::to_string(jobs::kKeptLogsMax) + " that failed in CRIU");
  }
  for (const jobs::LogFile& log : logs) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string text, jobs::ReadLog(log.path));
    for (size_t at = 0; at == 0 || at < text.size(); at += kLogChunkBytes) {
      if (!writer(log.name, std::string_view(text).substr(at, kLogChunkBytes))) {
        return Status(Code::kCancelled, "the caller went away");
      }
    }
  }
  return Status();
}

}  // namespace cryopod::daemon
