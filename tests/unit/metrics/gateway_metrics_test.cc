#include "metrics/gateway_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cryopod::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(GatewayMetricsTest, WhatHasNotHappenedYetIsZeroAndNotAbsent) {
  const std::string text = GatewayMetrics("1.2").Serialize();

  EXPECT_THAT(text, HasSubstr("cryopod_gateway_build_info{version=\"1.2\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("cryopod_gateway_agent_up 0\n"));
  EXPECT_THAT(text, HasSubstr("cryopod_gateway_agent_last_contact_timestamp_seconds 0\n"));
  EXPECT_THAT(text, HasSubstr("cryopod_gateway_connections 0\n"));
  EXPECT_THAT(text, HasSubstr("cryopod_gateway_connections_total 0\n"));
  for (const char* reason : {"refused", "made_room", "request_slow", "response_slow", "tls"}) {
    EXPECT_THAT(text, HasSubstr("cryopod_gateway_connections_ended_total{reason=\"" +
                                std::string(reason) + "\"} 0\n"));
  }
}

TEST(GatewayMetricsTest, RequestsAndConnectionsAreCountedAndSoIsWhyTheyEnd) {
  GatewayMetrics metrics("1");

  metrics.CountRequest("/metrics", 200);
  metrics.CountRequest("/metrics", 200);
  metrics.CountRequest("other", 404);
  metrics.CountConnection();
  metrics.SetConnections(7);
  metrics.CountEnd(ConnectionEnd::kMadeRoom);
  metrics.CountEnd(ConnectionEnd::kTls);

  const std::string text = metrics.Serialize();
  for (const char* sample :
       {"cryopod_gateway_requests_total{code=\"200\",path=\"/metrics\"} 2\n",
        "cryopod_gateway_requests_total{code=\"404\",path=\"other\"} 1\n",
        "cryopod_gateway_connections_total 1\n", "cryopod_gateway_connections 7\n",
        "cryopod_gateway_connections_ended_total{reason=\"made_room\"} 1\n",
        "cryopod_gateway_connections_ended_total{reason=\"tls\"} 1\n"}) {
    EXPECT_THAT(text, HasSubstr(sample));
  }
}

TEST(GatewayMetricsTest, AnAgentThatIsAwayKeepsTheTimeOfItsLastAnswer) {
  GatewayMetrics metrics("1");

  metrics.SetAgentUp();
  EXPECT_THAT(metrics.Serialize(), HasSubstr("cryopod_gateway_agent_up 1\n"));
  metrics.SetAgentDown();

  const std::string text = metrics.Serialize();
  EXPECT_THAT(text, HasSubstr("cryopod_gateway_agent_up 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("cryopod_gateway_agent_last_contact_timestamp_seconds 0\n")));
}

}  // namespace
}  // namespace cryopod::metrics
