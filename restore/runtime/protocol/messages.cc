#include "restore/runtime/protocol/messages.h"

#include <utility>

#include "agent/os/unix_socket.h"
#include "restore/runtime/protocol/runtime.pb.h"

namespace cryopod::wrapper {
namespace {

template <typename Message>
Result<Message> Parsed(std::string_view bytes, std::string_view what) {
  Message message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Status(Code::kDataLoss, "not a message of the runtime socket: " + std::string(what));
  }
  return message;
}

Result<Frame> ReceiveBytes(int fd, Deadline deadline, std::string_view what) {
  return ReceiveFrame(fd, deadline).While("waiting for " + std::string(what));
}

}  // namespace

std::string Serialize(const Request& request) {
  v1::Request message;
  message.set_kind(static_cast<v1::Request::Kind>(request.kind));
  message.set_container_id(request.container_id);
  message.set_sandbox_id(request.sandbox_id);
  message.set_pod_name(request.pod_name);
  message.set_pod_namespace(request.pod_namespace);
  message.set_pod_uid(request.pod_uid);
  message.set_container_name(request.container_name);
  message.set_restore_from(request.restore_from);
  message.set_restore_operation(request.restore_operation);
  message.set_bundle(request.bundle);
  message.set_state_dir(request.state_dir);
  message.set_rootfs(request.rootfs);
  message.set_cgroups_path(request.cgroups_path);
  for (const auto& [name, path] : request.namespace_paths) {
    (*message.mutable_namespace_paths())[name] = path;
  }
  message.set_cgroup_namespace(request.cgroup_namespace);
  message.set_terminal(request.terminal);
  return message.SerializeAsString();
}

std::string Serialize(const Answer& answer) {
  v1::Answer message;
  message.set_decision(static_cast<v1::Answer::Decision>(answer.decision));
  message.set_reason(answer.reason);
  if (answer.decision == Answer::Decision::kRestore) {
    v1::Plan* plan = message.mutable_plan();
    plan->set_images_dir(answer.plan.images_dir);
    plan->set_work_dir(answer.plan.work_dir);
    plan->set_criu_config_file(answer.plan.criu_config_file);
    plan->set_operation_id(answer.plan.operation_id);
    plan->set_criu(answer.plan.criu);
  }
  return message.SerializeAsString();
}

std::string Serialize(const Outcome& outcome) {
  v1::Outcome message;
  message.set_restored(outcome.restored);
  message.set_exit_code(outcome.exit_code);
  message.set_pid(outcome.pid);
  message.set_log(outcome.log.substr(0, kOutcomeLogBytesMax));
  return message.SerializeAsString();
}

Result<Request> ParseRequest(std::string_view bytes) {
  CRYOPOD_ASSIGN_OR_RETURN(const v1::Request message, Parsed<v1::Request>(bytes, "Request"));
  if (message.kind() <= v1::Request::UNSPECIFIED || message.kind() > v1::Request::DELETED) {
    return Status(Code::kDataLoss, "a request of an unknown kind on the runtime socket");
  }
  Request request;
  request.kind = static_cast<Request::Kind>(message.kind());
  request.container_id = message.container_id();
  request.sandbox_id = message.sandbox_id();
  request.pod_name = message.pod_name();
  request.pod_namespace = message.pod_namespace();
  request.pod_uid = message.pod_uid();
  request.container_name = message.container_name();
  request.restore_from = message.restore_from();
  request.restore_operation = message.restore_operation();
  request.bundle = message.bundle();
  request.state_dir = message.state_dir();
  request.rootfs = message.rootfs();
  request.cgroups_path = message.cgroups_path();
  for (const auto& [name, path] : message.namespace_paths()) request.namespace_paths[name] = path;
  request.cgroup_namespace = message.cgroup_namespace();
  request.terminal = message.terminal();
  return request;
}

Result<Answer> ParseAnswer(std::string_view bytes) {
  CRYOPOD_ASSIGN_OR_RETURN(const v1::Answer message, Parsed<v1::Answer>(bytes, "Answer"));
  if (message.decision() <= v1::Answer::UNSPECIFIED || message.decision() > v1::Answer::FINISHED) {
    return Status(Code::kDataLoss, "an answer without a decision on the runtime socket");
  }
  Answer answer;
  answer.decision = static_cast<Answer::Decision>(message.decision());
  answer.reason = message.reason();
  answer.plan = {message.plan().images_dir(), message.plan().work_dir(),
                 message.plan().criu_config_file(), message.plan().operation_id(),
                 message.plan().criu()};
  return answer;
}

Result<Outcome> ParseOutcome(std::string_view bytes) {
  CRYOPOD_ASSIGN_OR_RETURN(const v1::Outcome message, Parsed<v1::Outcome>(bytes, "Outcome"));
  return Outcome{message.restored(), message.exit_code(), message.pid(), message.log()};
}

Status Send(int fd, const Request& request, Deadline deadline) {
  return SendFrame(fd, Serialize(request), deadline);
}

Status Send(int fd, const Answer& answer, Deadline deadline) {
  return SendFrame(fd, Serialize(answer), deadline);
}

Status Send(int fd, const Outcome& outcome, Deadline deadline) {
  return SendFrame(fd, Serialize(outcome), deadline);
}

Result<Request> ReceiveRequest(int fd, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const Frame frame, ReceiveBytes(fd, deadline, "a request"));
  return ParseRequest(frame.bytes);
}

Result<Answer> ReceiveAnswer(int fd, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const Frame frame, ReceiveBytes(fd, deadline, "an answer"));
  return ParseAnswer(frame.bytes);
}

Result<Outcome> ReceiveOutcome(int fd, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const Frame frame, ReceiveBytes(fd, deadline, "an outcome"));
  return ParseOutcome(frame.bytes);
}

}  // namespace cryopod::wrapper
