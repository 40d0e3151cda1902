// cryopod-gateway: what the network may know of this node. The only program of cryopod with a
// network, and the one with the fewest rights.
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>

#include "agent/gateway/config.h"
#include "agent/gateway/front.h"
#include "agent/gateway/give_up_rights.h"
#include "agent/gateway/http_service.h"
#include "agent/gateway/private_network.h"
#include "agent/gateway/tcp_socket.h"
#include "agent/os/log.h"

namespace cryopod::gateway {
namespace {

LogLevel ToLevel(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "warning") return LogLevel::kWarning;
  return name == "error" ? LogLevel::kError : LogLevel::kInfo;
}

FrontOptions ToFrontOptions(const Config& config) {
  FrontOptions options;
  options.connections_max = config.connections_max;
  options.connections_per_address_max = config.connections_per_address_max;
  return options;
}

Result<std::optional<TlsServer>> LoadTls(const Config& config) {
  if (config.tls_certificate.empty()) return std::optional<TlsServer>();
  CRYOPOD_ASSIGN_OR_RETURN(TlsServer tls, TlsServer::Load(config.tls_certificate, config.tls_key));
  return std::optional<TlsServer>(std::move(tls));
}

// What takes rights comes first, then they go, then the first thread starts.
Status Serve(const Config& config, const sigset_t& end_signals) {
  CRYOPOD_RETURN_IF_ERROR(CheckConfig(config));
  CRYOPOD_ASSIGN_OR_RETURN(std::optional<TlsServer> tls, LoadTls(config));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd listener, ListenTcp(config.listen));
  const std::string endpoint = LocalEndpoint(listener.get());
  if (!EnterPrivateNetwork()) {
    Log(LogLevel::kWarning, "the HTTP service shares its loopback with others",
        {{"remedy", "start as root with --user, or let users make namespaces"}});
  }
  CRYOPOD_RETURN_IF_ERROR(BecomeUser(config.user, config.allow_root));
  CRYOPOD_ASSIGN_OR_RETURN(const uint16_t service_port, FindFreeServicePort());
  CRYOPOD_RETURN_IF_ERROR(Confine(service_port));

  metrics::GatewayMetrics metrics(CRYOPOD_VERSION);
  AgentWatch::Options watch_options;
  watch_options.interval = std::chrono::seconds(config.check_interval_s);
  AgentWatch watch(config.agent_socket, watch_options, metrics);
  AgentMetricsText agent_metrics(config.agent_socket, {});
  CRYOPOD_ASSIGN_OR_RETURN(const std::unique_ptr<HttpService> service,
                           HttpService::Start({watch, agent_metrics, metrics}, service_port));
  CRYOPOD_ASSIGN_OR_RETURN(const std::unique_ptr<Front> front,
                           Front::Start(std::move(listener), std::move(tls), service_port,
                                        ToFrontOptions(config), metrics));
  Log(LogLevel::kInfo, "serving",
      {{"version", CRYOPOD_VERSION},
       {"listen", endpoint},
       {"tls", config.tls_certificate.empty() ? "no" : "yes"},
       {"uid", std::to_string(::geteuid())}});
  int signal = 0;
  ::sigwait(&end_signals, &signal);
  Log(LogLevel::kInfo, "ending", {{"signal", std::to_string(signal)}});
  // Nothing here outlives the process, and an agent that hangs must not hold it up.
  std::_Exit(0);
}

}  // namespace
}  // namespace cryopod::gateway

int main(int argc, char** argv) {
  using namespace cryopod;
  int exit_code = -1;
  const gateway::Config config = gateway::ParseCommandLine(argc, argv, exit_code);
  if (exit_code >= 0) return exit_code;
  SetLogLevel(gateway::ToLevel(config.log_level));
  ::umask(077);
  ::signal(SIGPIPE, SIG_IGN);
  // Blocked before the first thread, so that sigwait alone hears of them.
  sigset_t end_signals;
  sigemptyset(&end_signals);
  sigaddset(&end_signals, SIGTERM);
  sigaddset(&end_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &end_signals, nullptr);
  const Status status = gateway::Serve(config, end_signals);
  Log(LogLevel::kError, "cannot serve", {{"reason", status.message()}});
  std::fprintf(stderr, "cryopod-gateway: %s\n", status.message().c_str());
  // As above: threads of a half-built gateway may wait for an agent.
  std::_Exit(status.code() == Code::kInvalidArgument ? 2 : 1);
}
