#include <filesystem>
#include <optional>
#include <utility>

#include "agent/os/deadline.h"
#include "restore/runtime/agent_connection.h"
#include "restore/runtime/bundle.h"
#include "restore/runtime/failure.h"
#include "restore/runtime/finished_container.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/restore_call.h"
#include "restore/runtime/wrapper.h"

namespace cryopod::wrapper {
namespace {

std::string AbsoluteBundle(const Arguments& arguments) {
  std::error_code error;
  const std::filesystem::path path =
      std::filesystem::absolute(arguments.bundle.empty() ? "." : arguments.bundle, error);
  return error ? arguments.bundle : path.lexically_normal().string();
}

int FailWithoutAgent(const Call& call, const Request& request, const Status& why) {
  return Fail(call.arguments, why.message() + ". The pod asks for a restore from " +
                                  request.restore_from +
                                  " and is never started cold in silence: "
                                  "start cryopod-agent on this node (agent_socket=" +
                                  call.settings.agent_socket + " in /etc/cryopod/runtime.conf)");
}

int CreateFinished(const Call& call, const Request& request) {
  if (request.kind != Request::Kind::kCreate) {
    return Fail(call.arguments, "the cryopod agent answered FINISHED for a sandbox");
  }
  const Status replaced = ReplaceProgram(request.bundle);
  return replaced.ok() ? PassThrough(call) : Fail(call.arguments, replaced.message());
}

int CreateFromAnswer(const Call& call, const Request& request, AgentConnection connection,
                     Deadline deadline) {
  const Answer& answer = connection.answer();
  switch (answer.decision) {
    case Answer::Decision::kPass:
      return PassThrough(call);
    case Answer::Decision::kRestore:
      if (request.kind == Request::Kind::kCreate) {
        return RestoreContainer(call, request, std::move(connection), deadline);
      }
      return Fail(call.arguments, "the cryopod agent answered RESTORE for a sandbox");
    case Answer::Decision::kFinished:
      return CreateFinished(call, request);
    case Answer::Decision::kFail:
    case Answer::Decision::kUnspecified:
      break;
  }
  return Fail(call.arguments, answer.reason);
}

}  // namespace

int Create(const Call& call) {
  Result<std::optional<Request>> read = ReadRestoreRequest(AbsoluteBundle(call.arguments));
  if (!read.ok()) return Fail(call.arguments, read.status().message());
  if (!read->has_value()) return PassThrough(call);
  Request request = std::move(**read);
  if (!call.arguments.unknown_options.empty()) {
    return Fail(call.arguments,
                "a container that is to be restored cannot be created with the "
                "option " +
                    call.arguments.unknown_options.front());
  }
  request.container_id = call.arguments.id;
  request.state_dir = call.arguments.state_dir();

  // The record on disk outranks the agent, and saves asking it after every crash of the container.
  const Result<bool> consumed = IsConsumed(call.settings.state_dir, request);
  if (!consumed.ok()) return Fail(call.arguments, consumed.status().message());
  if (*consumed) return PassThrough(call);

  const Deadline deadline = Deadline::After(call.settings.create_timeout);
  Result<AgentConnection> connection = AgentConnection::Ask(
      call.settings.agent_socket, request, deadline.SoonerAfter(call.settings.answer_timeout));
  if (!connection.ok()) return FailWithoutAgent(call, request, connection.status());
  return CreateFromAnswer(call, request, std::move(*connection), deadline);
}

}  // namespace cryopod::wrapper
