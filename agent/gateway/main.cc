// cryopod-gateway: what the network may know of this node. The only program of cryopod with a
// network, and the one with the fewest rights.
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>

#include "agent/gateway/front.h"
#include "agent/gateway/give_up_rights.h"
#include "agent/gateway/http_service.h"
#include "agent/gateway/tcp_socket.h"
#include "agent/os/heap.h"
#include "agent/os/log.h"
#include "agent/settings/gateway_settings.h"

namespace cryopod::gateway {
namespace {

constexpr int kNice = 10;

// What it may open decides how many connections there can be: each takes three descriptors, the
// client's and both ends of the one to the HTTP service, whose cpprestsdk spins when it gets none.
uint32_t AllowConnections(uint32_t wanted) {
  static constexpr rlim_t kEach = 3;
  static constexpr rlim_t kOthers = 128;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  const rlim_t descriptors = wanted * kEach + kOthers;
  if (limit.rlim_cur >= descriptors) return wanted;
  limit.rlim_cur = std::min(limit.rlim_max, descriptors);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t possible = limit.rlim_cur > kOthers ? (limit.rlim_cur - kOthers) / kEach : 1;
  if (possible >= wanted) return wanted;
  Log(LogLevel::kWarning, "fewer connections than configured",
      {{"connections", std::to_string(possible)},
       {"remedy", "allow " + std::to_string(descriptors) + " open files (LimitNOFILE)"}});
  return static_cast<uint32_t>(possible);
}

// What takes rights comes first, then they go, then the first thread starts.
Status Serve(const settings::GatewaySettings& config, const sigset_t& end_signals) {
  CRYOPOD_RETURN_IF_ERROR(CheckEndpoint(config.listen).While("listen"));
  CRYOPOD_ASSIGN_OR_RETURN(std::optional<TlsServer> tls,
                           TlsServer::Load(config.tls_certificate, config.tls_key));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd listener, ListenTcp(config.listen));
  const std::string endpoint = LocalEndpoint(listener.get());
  CRYOPOD_RETURN_IF_ERROR(CheckUser(config.user, config.allow_root));
  // However many clients there are, a pod that stands frozen comes first.
  ::setpriority(PRIO_PROCESS, 0, kNice);
  FrontOptions options;
  options.connections_max = AllowConnections(config.connections_max);
  options.connections_per_address_max = config.connections_per_address_max;
  if (!EnterPrivateNetwork()) {
    Log(LogLevel::kWarning, "the HTTP service shares its loopback with others",
        {{"remedy", "start as root with --user, or let users make namespaces"}});
  }
  CRYOPOD_RETURN_IF_ERROR(BecomeUser(config.user));
  CRYOPOD_ASSIGN_OR_RETURN(const uint16_t service_port, FindFreePort());
  CRYOPOD_RETURN_IF_ERROR(Confine(service_port));

  metrics::GatewayMetrics metrics(CRYOPOD_VERSION);
  AgentWatch::Options watch_options;
  watch_options.interval = std::chrono::seconds(config.check_interval_s);
  AgentWatch watch(config.agent_socket, watch_options, metrics);
  AgentMetricsText agent_metrics(config.agent_socket, {});
  CRYOPOD_ASSIGN_OR_RETURN(const std::unique_ptr<HttpService> service,
                           HttpService::Start({watch, agent_metrics, metrics}, service_port));
  CRYOPOD_ASSIGN_OR_RETURN(
      const std::unique_ptr<Front> front,
      Front::Start(std::move(listener), std::move(tls), service_port, options, metrics));
  Log(LogLevel::kInfo, "serving",
      {{"version", CRYOPOD_VERSION},
       {"listen", endpoint},
       {"tls", config.tls_certificate.empty() ? "no" : "yes"}});
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
  KeepHeapSmall();
  settings::GatewaySettings config;
  const Result<std::string> answer =
      settings::ReadCommandLine(settings::GatewayProgram(config, CRYOPOD_VERSION), argc, argv);
  if (!answer.ok()) {
    std::fprintf(stderr, "cryopod-gateway: %s\n", answer.status().message().c_str());
    return 2;
  }
  if (!answer->empty()) {
    return std::fputs(answer->c_str(), stdout) < 0 || std::fflush(stdout) != 0 ? 1 : 0;
  }
  SetLogLevel(*ParseLogLevel(config.log_level));
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
