#include "agent/api/grpc_status.h"

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <string>

namespace cryopod::api {
namespace {

constexpr char kReasonKey[] = "cryopod-reason";

constexpr char kOperationKey[] = "cryopod-operation";
constexpr char kLogsKey[] = "cryopod-logs";

std::string ReadTrailing(const grpc::ClientContext& context, const char* key) {
  const auto& metadata = context.GetServerTrailingMetadata();
  const auto found = metadata.find(key);
  if (found == metadata.end()) return "";
  return std::string(found->second.data(), found->second.size());
}

Reason ReadReason(const grpc::ClientContext& context) {
  const std::string word = ReadTrailing(context, kReasonKey);
  const Reason reason = ReasonFromName(word);
  return ReasonName(reason) == word ? reason : Reason::kNone;
}

}  // namespace

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
  const Reason reason = ReadReason(context);
  if (status.error_message().empty()) return Status(code, std::string(CodeName(code)), reason);
  return Status(code, status.error_message(), reason);
}

}  // namespace cryopod::api
