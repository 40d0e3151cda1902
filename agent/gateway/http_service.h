#pragma once

#include <cstdint>
#include <memory>

#include "agent/gateway/agent_metrics_text.h"
#include "agent/gateway/agent_watch.h"
#include "agent/os/status.h"
#include "metrics/gateway_metrics.h"

namespace cryopod::gateway {

// What the gateway answers, by cpprestsdk's listener, on a port of 127.0.0.1 that only the front
// (agent/gateway/front.h) talks to. Each request has a connection of its own; an answer may be a
// stream of any length, which goes as fast as the client takes it.
//
// Shape    GET /metrics   the agent's text, then the gateway's own families; 200 also without agent
//          GET /healthz   200: the gateway is alive
//          GET /readyz    200 or 503, one line a check; ?verbose: the same as JSON
//          GET /version   JSON
//          else           404 with the paths; other methods 405
// Threads  cpprestsdk's, kHttpThreads of them; no handler waits.
class HttpService {
 public:
  struct Parts {
    const AgentWatch& watch;
    AgentMetricsText& agent_metrics;
    metrics::GatewayMetrics& metrics;
  };
  // Listens on 127.0.0.1:`port` when it returns (cpprestsdk takes no 0). Errors: kUnavailable.
  // There is one at a time in a process.
  static Result<std::unique_ptr<HttpService>> Start(const Parts& parts, uint16_t port);
  // Every connection to it must be closed before. Ends `agent_metrics` as well.
  virtual ~HttpService() = default;
};

}  // namespace cryopod::gateway
