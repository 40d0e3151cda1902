#include "cri/grpc_status.h"

#include <grpcpp/support/status.h>

namespace cryopod::cri {

Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return Status();
  const Code code = CodeFromNumber(static_cast<int>(status.error_code()));
  if (status.error_message().empty()) return Status(code, std::string(CodeName(code)));
  return Status(code, status.error_message());
}

}  // namespace cryopod::cri
