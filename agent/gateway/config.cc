#include "agent/gateway/config.h"

#include "agent/gateway/tcp_socket.h"

namespace cryopod::gateway {

Status CheckConfig(const Config& config) {
  CRYOPOD_RETURN_IF_ERROR(CheckEndpoint(config.listen).While("listen"));
  if (config.tls_certificate.empty() != config.tls_key.empty()) {
    return Status(Code::kInvalidArgument,
                  "tls_certificate and tls_key belong together; only one of them is given");
  }
  return Status();
}

}  // namespace cryopod::gateway
