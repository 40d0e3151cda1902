#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <thread>

#include "agent/gateway/byte_stream.h"
#include "agent/gateway/front_options.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"
#include "metrics/gateway_metrics.h"

namespace cryopod::gateway {

class FrontLoop;

// What stands before the HTTP service (agent/gateway/http_service.h) and is what clients meet.
//
// Why      cpprestsdk's listener (2.10.18, http_server_asio.cpp) bounds nothing: a head may grow
//          for ever, no connection ever times out, there may be as many as come, each TLS
//          connection loads the certificate anew, and a chunk of length -1 makes it read beyond its
//          buffer. So the front takes the connections, ends TLS, takes heads of bounded size in
//          bounded time and no bodies, and asks the service itself, over a handful of kept
//          connections. That nobody else comes near the service's port is the affair of
//          agent/gateway/private_network.h.
// Shape    one thread, one epoll. When there is no room, the client that has waited longest without
//          a whole request makes some: idle and slow ones harm each other and nobody else.
//          Requests for the same at the same time share one answer: memory and questions to the
//          service do not grow with the clients.
// Threads  its own; its public calls are for one.
class Front {
 public:
  // `listener` from ListenTcp(), `service_port` that of a running HttpService.
  // Errors: kResourceExhausted.
  static Result<std::unique_ptr<Front>> Start(UniqueFd listener, std::optional<TlsServer> tls,
                                              uint16_t service_port, const FrontOptions& options,
                                              metrics::GatewayMetrics& metrics);
  // Closes all connections.
  ~Front();

 private:
  explicit Front(std::unique_ptr<FrontLoop> loop);
  std::unique_ptr<FrontLoop> loop_;
  std::jthread thread_;
};

}  // namespace cryopod::gateway
