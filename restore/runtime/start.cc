#include "restore/runtime/protocol/attempt_lock.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/container_marks.h"
#include "restore/runtime/protocol/interrupted_restore.h"
#include "restore/runtime/wrapper.h"

namespace cryopod::wrapper {
namespace {

constexpr std::chrono::seconds kDeletedTimeout{2};

int Started(const std::string& state_dir) {
  // The mark only decides whom `start` asks: a leftover one is harmless.
  static_cast<void>(RemoveRestoredMark(state_dir).ok());
  return 0;
}

// The other side went away. What is recorded has been let run, or has only to be; anything else has
// not run, and is ended by its caller or by whoever comes after the restore that is gone.
int StartWithoutAnswer(const Call& call, const Request& request, const Status& why) {
  const Result<bool> restored = WasRestored(call.settings.state_dir, request);
  if (!restored.ok() || !*restored) {
    return Fail(call.arguments, why.message() +
                                    ". The restored container was not started: start "
                                    "cryopod-agent on this node");
  }
  const Status released = ReleaseHeld(call.settings.state_dir, {request.state_dir});
  if (!released.ok()) return Fail(call.arguments, released.message());
  return Started(request.state_dir);
}

}  // namespace

int Start(const Call& call) {
  const std::string state_dir = call.arguments.state_dir();
  Result<Request> request = ReadRestoredMark(state_dir);
  if (!request.ok()) {
    if (request.status().code() == Code::kNotFound) return PassThrough(call);
    return Fail(call.arguments, request.status().message());
  }
  request->kind = Request::Kind::kStart;
  const Result<AgentConnection> connection =
      AskAgent(call, *request, Deadline::After(call.settings.answer_timeout));
  if (!connection.ok()) return StartWithoutAnswer(call, *request, connection.status());
  const Answer& answer = connection->answer;
  if (answer.decision != Answer::Decision::kPass) return Fail(call.arguments, answer.reason);
  return Started(state_dir);
}

Status LetHeldRun(const Call& call) {
  const std::string state_dir = call.arguments.state_dir();
  // Its `start` has not been answered: whoever waits for that may be about to end it.
  if (ReadRestoredMark(state_dir).status().code() != Code::kNotFound) return Status();
  const Result<HeldMark> mark = ReadHeldMark(state_dir);
  if (mark.status().code() == Code::kNotFound) return Status();
  UniqueFd no_attempts;
  // A pod that is being ended needs no restore of another one.
  if (mark.ok() && !mark->pod_uid.empty() && call.arguments.subcommand != "kill") {
    CRYOPOD_ASSIGN_OR_RETURN(no_attempts,
                             WaitForAttempts(call.settings.state_dir, mark->pod_uid,
                                             Deadline::After(call.settings.create_timeout)));
  }
  return ReleaseHeld(call.settings.state_dir, {state_dir});
}

int Delete(const Call& call) {
  const std::string state_dir = call.arguments.state_dir();
  Result<Request> request = ReadRestoredMark(state_dir);
  if (request.ok()) {
    request->kind = Request::Kind::kDeleted;
    // A courtesy: the agent also learns it from the next attempt.
    static_cast<void>(AskAgent(call, *request, Deadline::After(kDeletedTimeout)).ok());
  }
  const Status detached = DetachRestoreMounts(state_dir, "");
  if (!detached.ok()) return Fail(call.arguments, detached.message());
  return PassThrough(call);
}

}  // namespace cryopod::wrapper
