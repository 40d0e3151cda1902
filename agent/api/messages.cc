#include "agent/api/messages.h"

#include <google/protobuf/message.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <algorithm>
#include <limits>

namespace cryopod::api {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr char kReasonKey[] = "cryopod-reason";
constexpr char kOperationKey[] = "cryopod-operation";
constexpr char kLogsKey[] = "cryopod-logs";

std::string ReadTrailing(const grpc::ClientContext& context, const char* key) {
  const auto& metadata = context.GetServerTrailingMetadata();
  const auto found = metadata.find(key);
  if (found == metadata.end()) return "";
  return std::string(found->second.data(), found->second.size());
}

// The fields of a message by their names: they are read into a value, or set from it.
class Fields {
 public:
  explicit Fields(const Message& from) : message_(from) {}
  explicit Fields(Message* to) : message_(*to), to_(to) {}

  void Add(const char* name, std::string& value) {
    if (to_ != nullptr) return access_.SetString(to_, Find(name), value);
    value = access_.GetString(message_, Find(name));
  }
  void Add(const char* name, bool& value) {
    if (to_ != nullptr) return access_.SetBool(to_, Find(name), value);
    value = access_.GetBool(message_, Find(name));
  }
  void Add(const char* name, uint32_t& value) {
    if (to_ != nullptr) return access_.SetUInt32(to_, Find(name), value);
    value = access_.GetUInt32(message_, Find(name));
  }
  void Add(const char* name, uint64_t& value) {
    if (to_ != nullptr) return access_.SetUInt64(to_, Find(name), value);
    value = access_.GetUInt64(message_, Find(name));
  }
  void Add(const char* name, std::chrono::seconds& value) {
    auto number = static_cast<uint32_t>(
        std::clamp<int64_t>(value.count(), 0, std::numeric_limits<uint32_t>::max()));
    Add(name, number);
    value = std::chrono::seconds(number);
  }
  // The same numbers; one that we do not know, from a newer agent, tells nothing.
  void Add(const char* name, RequirementState& value) {
    if (to_ != nullptr) return access_.SetEnumValue(to_, Find(name), static_cast<int>(value));
    const int number = access_.GetEnumValue(message_, Find(name));
    const bool known = number <= static_cast<int>(RequirementState::kLacking);
    value = known ? static_cast<RequirementState>(number) : RequirementState::kUnknown;
  }
  void Add(const char* name, std::vector<std::string>& values) {
    if (to_ != nullptr) {
      for (const std::string& value : values) access_.AddString(to_, Find(name), value);
      return;
    }
    for (int i = 0; i < access_.FieldSize(message_, Find(name)); ++i) {
      values.push_back(access_.GetRepeatedString(message_, Find(name), i));
    }
  }
  template <typename Value>
  void Add(const char* name, std::vector<Value>& values) {
    if (to_ != nullptr) {
      for (Value& value : values) Describe(Fields(access_.AddMessage(to_, Find(name))), value);
      return;
    }
    for (int i = 0; i < access_.FieldSize(message_, Find(name)); ++i) {
      Describe(Fields(access_.GetRepeatedMessage(message_, Find(name), i)), values.emplace_back());
    }
  }

 private:
  const FieldDescriptor* Find(const char* name) const {
    return message_.GetDescriptor()->FindFieldByName(name);
  }

  const Message& message_;
  Message* const to_ = nullptr;
  const Reflection& access_ = *message_.GetReflection();
};

void Describe(Fields fields, CheckpointRequest& request) {
  fields.Add("pod", request.pod);
  fields.Add("archive", request.archive);
  fields.Add("stop_source", request.stop_source);
  fields.Add("without_volumes", request.without_volumes);
  fields.Add("restore_once", request.restore_once);
  fields.Add("timeout_seconds", request.timeout);
  fields.Add("operation_id", request.operation_id);
}

void Describe(Fields fields, RestoreRequest& request) {
  fields.Add("archive", request.archive);
  fields.Add("request_json", request.request_json);
  fields.Add("request_from_archive", request.request_from_archive);
  fields.Add("runtime_handler", request.runtime_handler);
  fields.Add("timeout_seconds", request.timeout);
  fields.Add("operation_id", request.operation_id);
  fields.Add("differences", request.differences);
}

void Describe(Fields fields, Phase& phase) {
  fields.Add("name", phase.name);
  fields.Add("duration_us", phase.duration_us);
}

void Describe(Fields fields, CheckpointResult& result) {
  fields.Add("archive", result.archive);
  fields.Add("digest", result.digest);
  fields.Add("size_bytes", result.size_bytes);
  fields.Add("captured_bytes", result.captured_bytes);
  fields.Add("freeze_us", result.freeze_us);
  fields.Add("phases", result.phases);
  fields.Add("lacks", result.lacks);
  fields.Add("external_files", result.external_files);
  fields.Add("source_stopped", result.source_stopped);
}

void Describe(Fields fields, RestoredContainer& container) {
  fields.Add("name", container.name);
  fields.Add("container_id", container.container_id);
  fields.Add("pid", container.pid);
}

void Describe(Fields fields, RestoreResult& result) {
  fields.Add("pod_sandbox_id", result.pod_sandbox_id);
  fields.Add("containers", result.containers);
  fields.Add("phases", result.phases);
  fields.Add("outcome", result.outcome);
  fields.Add("warnings", result.warnings);
}

void Describe(Fields fields, ArchiveSummary& summary) {
  fields.Add("name", summary.name);
  fields.Add("digest", summary.digest);
  fields.Add("namespace", summary.pod_namespace);
  fields.Add("pod", summary.pod);
  fields.Add("pod_uid", summary.pod_uid);
  fields.Add("created", summary.created);
  fields.Add("size_bytes", summary.size_bytes);
  fields.Add("containers", summary.containers);
  fields.Add("damage", summary.damage);
}

void Describe(Fields fields, Operation& operation) {
  fields.Add("operation_id", operation.operation_id);
  fields.Add("kind", operation.kind);
  fields.Add("pod", operation.pod);
  fields.Add("archive", operation.archive);
  fields.Add("stage", operation.stage);
  fields.Add("container", operation.container);
  fields.Add("bytes_done", operation.bytes_done);
  fields.Add("bytes_total", operation.bytes_total);
  fields.Add("began", operation.began);
  fields.Add("timeout_seconds", operation.timeout_seconds);
  fields.Add("state", operation.state);
  fields.Add("code", operation.code);
  fields.Add("reason", operation.reason);
  fields.Add("message", operation.message);
  fields.Add("log_folder", operation.log_folder);
}

void Describe(Fields fields, Progress& progress) {
  fields.Add("operation_id", progress.operation_id);
  fields.Add("stage", progress.stage);
  fields.Add("container", progress.container);
  fields.Add("bytes_done", progress.bytes_done);
  fields.Add("bytes_total", progress.bytes_total);
}

void Describe(Fields fields, Listing& listing) {
  fields.Add("archives", listing.archives);
  fields.Add("operations", listing.operations);
}

void Describe(Fields fields, Requirement& requirement) {
  fields.Add("name", requirement.name);
  fields.Add("state", requirement.state);
  fields.Add("found", requirement.found);
  fields.Add("reason", requirement.reason);
  fields.Add("remedy", requirement.remedy);
}

void Describe(Fields fields, NodeInfo& node) {
  fields.Add("agent_version", node.agent_version);
  fields.Add("criu_version", node.criu_version);
  fields.Add("runtime_name", node.runtime_name);
  fields.Add("runtime_version", node.runtime_version);
  fields.Add("kernel", node.kernel);
  fields.Add("cgroup_version", node.cgroup_version);
  fields.Add("architecture", node.architecture);
  fields.Add("problems", node.problems);
  fields.Add("requirements", node.requirements);
}

}  // namespace

template <typename Value>
void ToMessage(const Value& value, Message* message) {
  Describe(Fields(message), const_cast<Value&>(value));  // what writes changes nothing
}

template <typename Value>
Value FromMessage(const Message& message) {
  Value value;
  Describe(Fields(message), value);
  return value;
}

template void ToMessage(const CheckpointRequest& value, Message* message);
template CheckpointRequest FromMessage(const Message& message);
template void ToMessage(const RestoreRequest& value, Message* message);
template RestoreRequest FromMessage(const Message& message);
template void ToMessage(const CheckpointResult& value, Message* message);
template CheckpointResult FromMessage(const Message& message);
template void ToMessage(const RestoreResult& value, Message* message);
template RestoreResult FromMessage(const Message& message);
template void ToMessage(const ArchiveSummary& value, Message* message);
template ArchiveSummary FromMessage(const Message& message);
template void ToMessage(const Operation& value, Message* message);
template void ToMessage(const Progress& value, Message* message);
template Progress FromMessage(const Message& message);
template void ToMessage(const Listing& value, Message* message);
template Listing FromMessage(const Message& message);
template void ToMessage(const NodeInfo& value, Message* message);
template NodeInfo FromMessage(const Message& message);

grpc::Status ToGrpc(const Status& status, grpc::ServerContextBase& context,
                    const FailureDetails& details) {
  if (status.ok()) return grpc::Status::OK;
  context.AddTrailingMetadata(kReasonKey, std::string(ReasonName(status.reason())));
  if (!details.operation_id.empty()) {
    context.AddTrailingMetadata(kOperationKey, details.operation_id);
  }
  if (!details.log_folder.empty()) context.AddTrailingMetadata(kLogsKey, details.log_folder);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), status.message());
}

Status FromGrpc(const grpc::Status& status, const grpc::ClientContext& context,
                FailureDetails* details) {
  if (status.ok()) return Status();
  if (details != nullptr) {
    *details = {ReadTrailing(context, kOperationKey), ReadTrailing(context, kLogsKey)};
  }
  const Code code = CodeFromNumber(static_cast<int>(status.error_code()));
  const std::string word = ReadTrailing(context, kReasonKey);
  const Reason reason = ReasonFromName(word);
  const std::string message = status.error_message();
  return Status(code, message.empty() ? std::string(CodeName(code)) : message,
                ReasonName(reason) == word ? reason : Reason::kNone);
}

}  // namespace cryopod::api
