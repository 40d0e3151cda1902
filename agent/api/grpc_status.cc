#include "agent/api/grpc_status.h"

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <string>

namespace cryopod::api {
namespace {

constexpr char kReasonKey[] = "cryopod-reason";

Reason ReadReason(const grpc::ClientContext& context) {
  const auto& metadata = context.GetServerTrailingMetadata();
  const auto found = metadata.find(kReasonKey);
  if (found == metadata.end()) return Reason::kNone;
  const std::string_view word(found->second.data(), found->second.size());
  const Reason reason = ReasonFromName(word);
  return ReasonName(reason) == word ? reason : Reason::kNone;
}

}  // namespace

grpc::Status ToGrpc(const Status& status, grpc::ServerContextBase& context) {
  if (status.ok()) return grpc::Status::OK;
  context.AddTrailingMetadata(kReasonKey, std::string(ReasonName(status.reason())));
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), status.message());
}

Status FromGrpc(const grpc::Status& status, const grpc::ClientContext& context) {
  if (status.ok()) return Status();
  const Code code = CodeFromNumber(static_cast<int>(status.error_code()));
  const Reason reason = ReadReason(context);
  if (status.error_message().empty()) return Status(code, std::string(CodeName(code)), reason);
  return Status(code, status.error_message(), reason);
}

}  // namespace cryopod::api
