#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "agent/gateway/byte_stream.h"
#include "agent/gateway/exchange.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"
#include "metrics/gateway_metrics.h"

namespace cryopod::gateway {

struct FrontOptions {
  size_t connections_max = 256;
  size_t connections_per_address_max = 192;
  // Of all requests at a time: cpprestsdk reads a body into memory, however slowly its handler
  // takes it.
  uint64_t bodies_bytes_max = 8 << 20;
  ExchangeTimeouts timeouts;
};

// What stands before the HTTP service (agent/gateway/http_service.h) and is what clients meet.
//
// Why      cpprestsdk's listener (2.10.18, http_server_asio.cpp) bounds nothing: a head may grow
//          for ever, no connection ever times out, there may be as many as come, each TLS
//          connection loads the certificate anew, and a chunk of length -1 makes it read beyond its
//          buffer. So the front takes the connections, ends TLS, takes heads of bounded size in
//          bounded time, and passes each request and its answer on as bytes, over a connection of
//          their own. That nobody else comes near the service's port is the affair of
//          agent/gateway/give_up_rights.h.
// Shape    one thread, one epoll, edge-triggered: an exchange that is woken goes as far as it can.
//          When there is no room, the client that has kept us waiting longest makes some: idle and
//          slow ones harm each other and nobody else. Memory is bounded by the connections,
//          whatever passes through them.
// Threads  its own; its public calls are for one.
class Front {
 public:
  // `listener` from ListenTcp(), `service_port` that of a running HttpService.
  // Errors: kResourceExhausted.
  static Result<std::unique_ptr<Front>> Start(UniqueFd listener, std::optional<TlsServer> tls,
                                              uint16_t service_port, const FrontOptions& options,
                                              metrics::GatewayMetrics& metrics);
  // Closes all connections.
  virtual ~Front() = default;
};

}  // namespace cryopod::gateway
