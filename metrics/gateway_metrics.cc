#include "metrics/gateway_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>

namespace cryopod::metrics {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;

// In the order of ConnectionEnd.
constexpr std::array<std::string_view, 5> kEnds = {"refused", "made_room", "request_slow",
                                                   "response_slow", "tls"};

Family<Counter>& AddCounters(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

Gauge& AddGauge(prometheus::Registry& registry, const char* name, const char* help,
                const prometheus::Labels& labels = {}) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
}

}  // namespace

struct GatewayMetrics::Families {
  explicit Families(const std::string& version) {
    AddGauge(registry, "cryopod_gateway_build_info", "1, with the version of cryopod-gateway",
             {{"version", version}})
        .Set(1);
    // All of them from the start: a rate over the first one is not lost.
    for (size_t i = 0; i < kEnds.size(); ++i) {
      ends[i] = &closed.Add({{"reason", std::string(kEnds[i])}});
    }
  }

  prometheus::Registry registry;
  Family<Counter>& requests =
      AddCounters(registry, "cryopod_gateway_requests_total",
                  "Answered requests by path (other: no path of the gateway) and status code");
  Gauge& connections =
      AddGauge(registry, "cryopod_gateway_connections", "Connections of clients now");
  Counter& accepted =
      AddCounters(registry, "cryopod_gateway_connections_total", "Accepted connections").Add({});
  Family<Counter>& closed = AddCounters(registry, "cryopod_gateway_connections_ended_total",
                                        "Connections that the gateway ended by itself, by reason");
  std::array<Counter*, kEnds.size()> ends{};
  Gauge& agent_up = AddGauge(registry, "cryopod_gateway_agent_up",
                             "1 when the agent answered when it was last asked, else 0");
  Gauge& last_contact = AddGauge(registry, "cryopod_gateway_agent_last_contact_timestamp_seconds",
                                 "Unix time at which the agent last answered; 0 when it never has");
};

GatewayMetrics::GatewayMetrics(const std::string& version)
    : families_(std::make_unique<Families>(version)) {}
GatewayMetrics::~GatewayMetrics() = default;

void GatewayMetrics::CountRequest(std::string_view path, int http_status) {
  families_->requests.Add({{"path", std::string(path)}, {"code", std::to_string(http_status)}})
      .Increment();
}

void GatewayMetrics::SetConnections(size_t open) {
  families_->connections.Set(static_cast<double>(open));
}

void GatewayMetrics::CountConnection() { families_->accepted.Increment(); }

void GatewayMetrics::CountEnd(ConnectionEnd end) {
  families_->ends.at(static_cast<size_t>(end))->Increment();
}

void GatewayMetrics::SetAgentUp() {
  families_->agent_up.Set(1);
  families_->last_contact.SetToCurrentTime();
}

void GatewayMetrics::SetAgentDown() { families_->agent_up.Set(0); }

std::string GatewayMetrics::Serialize() const {
  return prometheus::TextSerializer().Serialize(families_->registry.Collect());
}

}  // namespace cryopod::metrics
