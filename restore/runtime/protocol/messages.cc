#include "restore/runtime/protocol/messages.h"

#include <algorithm>
#include <array>

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

// What stays as it is however often it is asked for. What may come right by itself is tried again:
// no space, no answer, another operation, a time that was over.
constexpr std::array kFinalReasons = {Reason::kAlreadyRestored, Reason::kRequestDiffers,
                                      Reason::kNotFound,        Reason::kArchiveDamaged,
                                      Reason::kUnknownVersion,  Reason::kNodeDiffers};

// Every text of a request, for both directions.
template <typename Act>
void ForEachText(Request& request, v1::Request& message, const Act& act) {
  act(request.container_id, *message.mutable_container_id());
  act(request.sandbox_id, *message.mutable_sandbox_id());
  act(request.pod_name, *message.mutable_pod_name());
  act(request.pod_namespace, *message.mutable_pod_namespace());
  act(request.pod_uid, *message.mutable_pod_uid());
  act(request.container_name, *message.mutable_container_name());
  act(request.restore_from, *message.mutable_restore_from());
  act(request.restore_operation, *message.mutable_restore_operation());
  act(request.bundle, *message.mutable_bundle());
  act(request.state_dir, *message.mutable_state_dir());
  act(request.rootfs, *message.mutable_rootfs());
  act(request.cgroups_path, *message.mutable_cgroups_path());
  act(request.differences, *message.mutable_differences());
  act(request.image, *message.mutable_image());
  act(request.image_ref, *message.mutable_image_ref());
  act(request.image_id, *message.mutable_image_id());
  act(request.failure, *message.mutable_failure());
  act(request.failure_reason, *message.mutable_failure_reason());
  act(request.seccomp_failure, *message.mutable_seccomp_failure());
}

using WireFilters = google::protobuf::RepeatedPtrField<v1::SeccompFilter>;

void Write(const std::vector<SeccompFilter>& filters, WireFilters* out) {
  for (const SeccompFilter& filter : filters) {
    v1::SeccompFilter* const written = out->Add();
    written->mutable_program()->Add(filter.program.begin(), filter.program.end());
    written->set_flags(filter.flags);
  }
}

std::vector<SeccompFilter> Read(const WireFilters& in) {
  std::vector<SeccompFilter> filters;
  for (const v1::SeccompFilter& filter : in) {
    filters.push_back({{filter.program().begin(), filter.program().end()}, filter.flags()});
  }
  return filters;
}

}  // namespace

Answer Answer::Refuse(const Status& why) {
  Answer answer = Fail(why.message());
  answer.may_start_cold = std::ranges::count(kFinalReasons, why.reason()) > 0;
  if (answer.may_start_cold) answer.reason_code = ReasonName(why.reason());
  return answer;
}

std::string Serialize(const Request& request) {
  v1::Request message;
  Request copy = request;
  ForEachText(copy, message, [](std::string& ours, std::string& theirs) { theirs.swap(ours); });
  message.set_kind(static_cast<v1::Request::Kind>(request.kind));
  for (const auto& [name, path] : request.namespace_paths) {
    (*message.mutable_namespace_paths())[name] = path;
  }
  message.set_cgroup_namespace(request.cgroup_namespace);
  message.mutable_hard_limits()->Add(request.hard_limits.begin(), request.hard_limits.end());
  Write(request.seccomp_filters, message.mutable_seccomp_filters());
  message.set_restore_once(request.restore_once);
  message.set_cold_start(request.cold_start);
  return message.SerializeAsString();
}

std::string Serialize(const Answer& answer) {
  v1::Answer message;
  message.set_decision(static_cast<v1::Answer::Decision>(answer.decision));
  message.set_reason(answer.reason);
  message.set_may_start_cold(answer.may_start_cold);
  message.set_reason_code(answer.reason_code);
  if (answer.decision == Answer::Decision::kRestore) {
    v1::Plan* plan = message.mutable_plan();
    plan->set_images_dir(answer.plan.images_dir);
    plan->set_work_dir(answer.plan.work_dir);
    plan->set_criu_config_file(answer.plan.criu_config_file);
    plan->set_criu(answer.plan.criu);
    const HoldPlan& hold = answer.plan.hold;
    if (hold != HoldPlan()) {
      plan->mutable_hold()->set_criu_config_file(hold.criu_config_file);
      plan->mutable_hold()->set_cgroup_dir(hold.cgroup_dir);
      plan->mutable_hold()->set_record_locks_file(hold.record_locks_file);
    }
  }
  return message.SerializeAsString();
}

std::string Serialize(const Outcome& outcome) {
  v1::Outcome message;
  message.set_restored(outcome.restored);
  message.set_pid(outcome.pid);
  message.set_log(outcome.log.substr(0, kOutcomeLogBytesMax));
  return message.SerializeAsString();
}

std::string Serialize(const FilterRecord& record) {
  v1::FilterRecord message;
  message.set_key(record.key);
  Write(record.filters, message.mutable_filters());
  return message.SerializeAsString();
}

Result<Request> ParseRequest(std::string_view bytes) {
  CRYOPOD_ASSIGN_OR_RETURN(v1::Request message, Parsed<v1::Request>(bytes, "Request"));
  if (message.kind() <= v1::Request::UNSPECIFIED || message.kind() > v1::Request::COLD_START) {
    return Status(Code::kDataLoss, "a request of an unknown kind on the runtime socket");
  }
  Request request;
  ForEachText(request, message, [](std::string& ours, std::string& theirs) { ours.swap(theirs); });
  request.kind = static_cast<Request::Kind>(message.kind());
  for (const auto& [name, path] : message.namespace_paths()) request.namespace_paths[name] = path;
  request.cgroup_namespace = message.cgroup_namespace();
  request.hard_limits.assign(message.hard_limits().begin(), message.hard_limits().end());
  request.seccomp_filters = Read(message.seccomp_filters());
  request.restore_once = message.restore_once();
  request.cold_start = message.cold_start();
  return request;
}

Result<FilterRecord> ParseFilterRecord(std::string_view bytes) {
  CRYOPOD_ASSIGN_OR_RETURN(const v1::FilterRecord message,
                           Parsed<v1::FilterRecord>(bytes, "FilterRecord"));
  return FilterRecord{message.key(), Read(message.filters())};
}

Result<Answer> ReceiveAnswer(int fd, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const Frame frame,
                           ReceiveFrame(fd, deadline).While("waiting for an answer"));
  CRYOPOD_ASSIGN_OR_RETURN(const v1::Answer message, Parsed<v1::Answer>(frame.bytes, "Answer"));
  if (message.decision() <= v1::Answer::UNSPECIFIED || message.decision() > v1::Answer::FINISHED) {
    return Status(Code::kDataLoss, "an answer without a decision on the runtime socket");
  }
  const v1::Plan& plan = message.plan();
  return Answer{
      static_cast<Answer::Decision>(message.decision()),
      message.reason(),
      {plan.images_dir(),
       plan.work_dir(),
       plan.criu_config_file(),
       plan.criu(),
       {plan.hold().criu_config_file(), plan.hold().cgroup_dir(), plan.hold().record_locks_file()}},
      message.may_start_cold(),
      message.reason_code()};
}

Result<Outcome> ReceiveOutcome(int fd, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const Frame frame,
                           ReceiveFrame(fd, deadline).While("waiting for an outcome"));
  CRYOPOD_ASSIGN_OR_RETURN(const v1::Outcome message, Parsed<v1::Outcome>(frame.bytes, "Outcome"));
  return Outcome{message.restored(), message.pid(), message.log()};
}

}  // namespace cryopod::wrapper
