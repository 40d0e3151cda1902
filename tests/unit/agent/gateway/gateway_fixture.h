#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "agent/gateway/front.h"
#include "agent/gateway/http_service.h"
#include "agent/gateway/tcp_socket.h"
#include "tests/fakes/fake_agent_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/gateway/http_client.h"

namespace cryopod::gateway::test {

// A gateway with all of its threads and sockets, and an agent that does as it is told.
class GatewayFixture : public ::testing::Test {
 protected:
  void StartAgent() {
    agent_ = std::make_unique<cryopod::test::FakeAgentServer>(socket());
    api::NodeInfo node;
    node.agent_version = "7.7";
    node.criu_version = "4.2.1";
    agent_->SetNode(node);
    agent_->SetMetrics("agent_says 1\n");
  }
  void StartGateway(std::optional<TlsServer> tls = std::nullopt) {
    watch_.emplace(socket(), watch_options_, metrics_);
    agent_metrics_.emplace(socket(), text_options_);
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const uint16_t service_port, FindFreePort());
    Result<std::unique_ptr<HttpService>> service =
        HttpService::Start({*watch_, *agent_metrics_, metrics_}, service_port);
    ASSERT_THAT(service, cryopod::test::IsOk());
    service_ = std::move(service).value();
    StartFront(service_port, std::move(tls));
  }
  // Whoever listens at `service_port`.
  void StartFront(uint16_t service_port, std::optional<TlsServer> tls = std::nullopt) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(UniqueFd listener, ListenTcp("127.0.0.1:0"));
    port_ = PortOf(listener.get());
    Result<std::unique_ptr<Front>> front =
        Front::Start(std::move(listener), std::move(tls), service_port, options_, metrics_);
    ASSERT_THAT(front, cryopod::test::IsOk());
    front_ = std::move(front).value();
  }
  static uint16_t PortOf(int listener) {
    const std::string endpoint = LocalEndpoint(listener);
    return static_cast<uint16_t>(std::atoi(endpoint.c_str() + endpoint.rfind(':') + 1));
  }
  void TearDown() override {
    front_.reset();
    // A fake that hangs lets go of whoever waits.
    agent_.reset();
    service_.reset();
  }

  std::string socket() const { return (temp_.path() / "agent.sock").string(); }
  HttpResponse Get(const std::string& target) const { return HttpClient(port_).Get(target); }
  // The value of a sample of the gateway's own, "" when there is none.
  std::string Sample(const std::string& name) const {
    const std::string text = "\n" + metrics_.Serialize();
    const size_t at = text.find("\n" + name + " ");
    if (at == std::string::npos) return "";
    const size_t begin = at + name.size() + 2;
    return text.substr(begin, text.find('\n', begin) - begin);
  }
  std::string Ended(const std::string& reason) const {
    return Sample("cryopod_gateway_connections_ended_total{reason=\"" + reason + "\"}");
  }
  static bool Eventually(const std::function<bool()>& holds) {
    const Deadline deadline = Deadline::After(std::chrono::seconds(20));
    while (!holds()) {
      if (deadline.expired()) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
  }

  cryopod::test::TempDirectory temp_;
  FrontOptions options_;
  AgentWatch::Options watch_options_{std::chrono::milliseconds(20), std::chrono::milliseconds(20),
                                     std::chrono::milliseconds(5'000)};
  AgentMetricsText::Options text_options_{std::chrono::milliseconds(0),
                                          std::chrono::milliseconds(5'000)};
  metrics::GatewayMetrics metrics_{"1.2"};
  std::unique_ptr<cryopod::test::FakeAgentServer> agent_;
  std::optional<AgentWatch> watch_;
  std::optional<AgentMetricsText> agent_metrics_;
  std::unique_ptr<HttpService> service_;
  std::unique_ptr<Front> front_;
  uint16_t port_ = 0;
};

}  // namespace cryopod::gateway::test
