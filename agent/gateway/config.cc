#include "agent/gateway/config.h"

#include <CLI/CLI.hpp>

#include "agent/gateway/tcp_socket.h"

namespace cryopod::gateway {
namespace {

// Memory and descriptors are bounded by it.
constexpr uint32_t kConnectionsMin = 8;
constexpr uint32_t kConnectionsMax = 1024;

void AddConnectionOptions(CLI::App& app, Config& config) {
  app.add_option("--listen", config.listen, "address and port; for IPv6 [ADDRESS]:PORT")
      ->capture_default_str();
  app.add_option("--tls-certificate", config.tls_certificate,
                 "PEM file of the server's certificate and its intermediates: HTTPS");
  app.add_option("--tls-key", config.tls_key, "PEM file of the certificate's key");
  app.add_option("--max-connections", config.connections_max,
                 "connections of clients; at the limit the idlest makes room")
      ->capture_default_str();
  app.add_option("--max-connections-per-address", config.connections_per_address_max,
                 "the same for one IPv4 address or IPv6 /64")
      ->capture_default_str();
}

Status CheckLimits(const Config& config) {
  for (const auto& [key, value] :
       {std::pair{"--max-connections", config.connections_max},
        std::pair{"--max-connections-per-address", config.connections_per_address_max}}) {
    if (value >= kConnectionsMin && value <= kConnectionsMax) continue;
    return Status(Code::kInvalidArgument, std::string(key) + " must be " +
                                              std::to_string(kConnectionsMin) + " to " +
                                              std::to_string(kConnectionsMax));
  }
  if (config.check_interval_s == 0) {
    return Status(Code::kInvalidArgument, "--check-interval must be at least 1 second");
  }
  return Status();
}

}  // namespace

Config ParseCommandLine(int argc, const char* const* argv, int& exit_code) {
  Config config;
  CLI::App app("cryopod-gateway: this node's metrics and readiness over HTTP");
  // Whoever starts it with fixed flags can be overruled by more of them.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.set_version_flag("--version", "cryopod-gateway " CRYOPOD_VERSION);
  AddConnectionOptions(app, config);
  app.add_option("--agent-socket", config.agent_socket, "the agent's socket for readers")
      ->capture_default_str();
  app.add_option("--user", config.user, "the user to become when started as root");
  app.add_flag("--allow-root", config.allow_root, "go on as root when started so without --user");
  app.add_option("--check-interval", config.check_interval_s,
                 "seconds between two questions for the state of agent, runtime and CRIU")
      ->capture_default_str();
  app.add_option("--log-level", config.log_level, "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  exit_code = -1;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    exit_code = code == 0 ? 0 : 2;
  }
  return config;
}

Status CheckConfig(const Config& config) {
  CRYOPOD_RETURN_IF_ERROR(CheckEndpoint(config.listen).While("--listen"));
  for (const auto& [key, path] : {std::pair{"--agent-socket", config.agent_socket},
                                  std::pair{"--tls-certificate", config.tls_certificate},
                                  std::pair{"--tls-key", config.tls_key}}) {
    const bool optional = std::string_view(key) != "--agent-socket";
    if (path.starts_with('/') || (optional && path.empty())) continue;
    return Status(Code::kInvalidArgument,
                  std::string(key) + " must be an absolute path, not \"" + path + "\"");
  }
  if (config.tls_certificate.empty() != config.tls_key.empty()) {
    return Status(Code::kInvalidArgument,
                  "--tls-certificate and --tls-key belong together; only one of them is given");
  }
  return CheckLimits(config);
}

}  // namespace cryopod::gateway
