#include "agent/settings/gateway_settings.h"

namespace cryopod::settings {
namespace {

// Memory and descriptors are bounded by the connections.
constexpr uint32_t kConnectionsMin = 8;
constexpr uint32_t kConnectionsMax = 1024;
constexpr uint32_t kCheckIntervalSecondsMax = 3600;

}  // namespace

Program GatewayProgram(GatewaySettings& settings, const std::string& version) {
  const Check connections = Between(kConnectionsMin, kConnectionsMax);
  return {
      "cryopod-gateway",
      "cryopod-gateway: this node's metrics and readiness over HTTP",
      version,
      "gateway",
      {{"listen", &settings.listen, "address:port",
        "where clients come in; for IPv6 [ADDRESS]:PORT", NotEmpty()},
       {"agent_socket", &settings.agent_socket, "path", "the agent's socket for readers",
        AbsolutePath()},
       {"user", &settings.user, "user", "whom to become when started as root"},
       {"allow_root", &settings.allow_root, "true or false",
        "go on as root when started so without a user"},
       {"tls_certificate", &settings.tls_certificate, "path",
        "PEM file of the server's certificate and its intermediates; empty: no TLS", PathOrEmpty()},
       {"tls_key", &settings.tls_key, "path", "PEM file of the certificate's key, without password",
        PathOrEmpty()},
       {"check_interval", &settings.check_interval_s, "seconds",
        "between two questions for the state of agent, runtime and CRIU",
        Between(1, kCheckIntervalSecondsMax)},
       {"max_connections", &settings.connections_max, "connections",
        "of all clients; at the limit the one that has waited longest makes room", connections},
       {"max_connections_per_address", &settings.connections_per_address_max, "connections",
        "the same of one IPv4 address or IPv6 /64", connections},
       {"log_level", &settings.log_level, "level", "debug, info, warning or error",
        OneOf({"debug", "info", "warning", "error"})}}};
}

}  // namespace cryopod::settings
