#include "cri/grpc_status.h"

#include <grpcpp/support/status.h>

namespace cryopod::cri {

Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return Status();
  const Code code = CodeFromNumber(static_cast<int>(status.error_code()));
  Status failed(
      code, status.error_message().empty() ? std::string(CodeName(code)) : status.error_message());
  switch (code) {
    case Code::kNotFound:
    case Code::kUnavailable:
    case Code::kUnimplemented:
    case Code::kDeadlineExceeded:
    case Code::kResourceExhausted:
      return failed;
    default:
      return Status(code, failed.message(), Reason::kRuntimeFailed);
  }
}

}  // namespace cryopod::cri
