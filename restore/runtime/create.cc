#include <sys/resource.h>

#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "restore/runtime/bundle.h"
#include "restore/runtime/finished_container.h"
#include "restore/runtime/live_filters.h"
#include "restore/runtime/protocol/attempt_lock.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/wrapper.h"

namespace cryopod::wrapper {
namespace {

std::string AbsoluteBundle(const Arguments& arguments) {
  std::error_code error;
  const std::filesystem::path path =
      std::filesystem::absolute(arguments.bundle.empty() ? "." : arguments.bundle, error);
  return error ? arguments.bundle : path.lexically_normal().string();
}

// What the OCI runtime would hand on to a container that sets none of its own.
std::vector<uint64_t> HardLimits() {
  std::vector<uint64_t> limits(RLIM_NLIMITS, RLIM_INFINITY);
  for (int resource = 0; resource < RLIM_NLIMITS; ++resource) {
    rlimit limit{};
    if (::getrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0) {
      limits[static_cast<size_t>(resource)] = limit.rlim_max;
    }
  }
  return limits;
}

// Whether the restore can do without them is for the agent to say.
void ReadLiveFilters(const Call& call, Request& request, Deadline deadline) {
  Result<std::vector<SeccompFilter>> filters = LiveFilters(call, request, deadline);
  if (filters.ok())
    request.seccomp_filters = std::move(*filters);
  else
    request.seccomp_failure = filters.status().message();
}

int FailWithoutAgent(const Call& call, const Request& request, const Status& why) {
  return Fail(call.arguments, why.message() + ". The pod asks for a restore from " +
                                  request.restore_from +
                                  " and is never started cold in silence: "
                                  "start cryopod-agent on this node (agent_socket=" +
                                  call.settings.agent_socket + " in /etc/cryopod/runtime.conf)");
}

int CreateFinished(const Call& call, const Request& request) {
  const Status replaced = ReplaceProgram(request.bundle);
  return replaced.ok() ? PassThrough(call) : Fail(call.arguments, replaced.message());
}

// Where the pod's other containers run already, the record alone knows of it.
int CreateFinishedOnce(const Call& call, const Request& request) {
  const Status recorded = WriteReplaced(call.settings.state_dir, request);
  return recorded.ok() ? CreateFinished(call, request) : Fail(call.arguments, recorded.message());
}

// The pod's annotation allows it where the restore was refused before anything was touched. It is
// the agent's to record and to tell: from then on the whole pod starts cold.
int CreateRefused(const Call& call, const Request& request, const Answer& refusal,
                  Deadline deadline) {
  if (!request.cold_start || !refusal.may_start_cold) return Fail(call.arguments, refusal.reason);
  Request cold = request;
  cold.kind = Request::Kind::kColdStart;
  cold.failure = refusal.reason;
  cold.failure_reason = refusal.reason_code;
  const Result<AgentConnection> asked = AskAgent(call, cold, deadline);
  if (asked.ok() && asked->answer.decision == Answer::Decision::kPass) return PassThrough(call);
  return Fail(call.arguments, refusal.reason + " (a cold start was refused, too: " +
                                  (asked.ok() ? asked->answer.reason : asked.status().message()) +
                                  ")");
}

int CreateFromAnswer(const Call& call, const Request& request, AgentConnection connection,
                     Deadline deadline) {
  const bool is_sandbox = request.kind == Request::Kind::kSandbox;
  const auto nonsense = [&](const std::string& word) {
    return Fail(call.arguments, "the cryopod agent answered " + word + " for a sandbox");
  };
  switch (connection.answer.decision) {
    case Answer::Decision::kPass:
      return PassThrough(call);
    case Answer::Decision::kRestore:
      if (is_sandbox) return nonsense("RESTORE");
      return RestoreContainer(call, request, std::move(connection), deadline);
    case Answer::Decision::kFinished:
      return is_sandbox ? nonsense("FINISHED") : CreateFinished(call, request);
    case Answer::Decision::kFail:
    case Answer::Decision::kUnspecified:
      break;
  }
  const Answer refusal = connection.answer;
  connection.socket.Reset();
  return CreateRefused(call, request, refusal, deadline);
}

}  // namespace

int Create(const Call& call) {
  const Result<std::optional<Request>> read = ReadRestoreRequest(AbsoluteBundle(call.arguments));
  if (!read.ok()) return Fail(call.arguments, read.status().message());
  if (!read->has_value()) return PassThrough(call);
  Request request = **read;
  if (!call.arguments.unknown_options.empty()) {
    return Fail(call.arguments,
                "a container that is to be restored cannot be created with the "
                "option " +
                    call.arguments.unknown_options.front());
  }
  request.container_id = call.arguments.id;
  request.state_dir = call.arguments.state_dir();
  request.hard_limits = HardLimits();

  // The record on disk outranks the agent, and saves asking it after every crash of the container.
  const Result<Due> due = DueOf(call.settings.state_dir, request);
  if (!due.ok()) return Fail(call.arguments, due.status().message());
  if (*due == Due::kStart) return PassThrough(call);
  if (*due == Due::kFinish) return CreateFinishedOnce(call, request);

  const Deadline deadline = Deadline::After(call.settings.create_timeout);
  UniqueFd attempt;
  if (request.kind == Request::Kind::kCreate && request.namespace_paths.contains("pid")) {
    Result<UniqueFd> begun = BeginAttempt(call.settings.state_dir, request.pod_uid);
    if (!begun.ok()) return Fail(call.arguments, begun.status().message());
    attempt = std::move(*begun);
  }
  if (request.kind == Request::Kind::kCreate) ReadLiveFilters(call, request, deadline);
  Result<AgentConnection> connection =
      AskAgent(call, request, deadline.SoonerAfter(call.settings.answer_timeout));
  if (!connection.ok()) return FailWithoutAgent(call, request, connection.status());
  return CreateFromAnswer(call, request, std::move(*connection), deadline);
}

}  // namespace cryopod::wrapper
