#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace cryopod::metrics {

// Why the gateway ended a connection by itself.
enum class ConnectionEnd {
  kRefused,       // no room, and nobody who could make some
  kMadeRoom,      // it had waited longest when another came
  kRequestSlow,   // its request's head, its body or its TLS handshake did not go on
  kResponseSlow,  // it did not read its answer
  kTls,           // it does not speak TLS as we do
};

// Every number that the gateway counts of itself. What the agent counts is the agent's
// (metrics/agent_metrics.h); the gateway passes it on.
//
// Threads  any.
class GatewayMetrics {
 public:
  explicit GatewayMetrics(const std::string& version);
  ~GatewayMetrics();

  // `path` is one out of our own routes ("/metrics", "other"), never what a client sent.
  void CountRequest(std::string_view path, int http_status);
  void SetConnections(size_t open);
  void CountConnection();
  void CountEnd(ConnectionEnd end);
  // The agent has answered just now, or it does not.
  void SetAgentUp();
  void SetAgentDown();

  // Prometheus text format, version 0.0.4.
  std::string Serialize() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace cryopod::metrics
