#include "agent/gateway/http_service.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/unit/agent/gateway/gateway_fixture.h"

namespace cryopod::gateway {
namespace {

using test::HttpClient;
using test::HttpResponse;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class HttpServiceTest : public test::GatewayFixture {};

TEST_F(HttpServiceTest, MetricsAreTheAgentsAndThenTheGatewaysOwn) {
  StartAgent();
  StartGateway();
  ASSERT_TRUE(Eventually([&] { return Sample("cryopod_gateway_agent_up") == "1"; }));

  const HttpResponse metrics = Get("/metrics");

  EXPECT_EQ(metrics.code, 200);
  EXPECT_THAT(metrics.head, HasSubstr("Content-Type: text/plain; version=0.0.4"));
  EXPECT_THAT(metrics.body, ::testing::StartsWith("agent_says 1\n# HELP cryopod_gateway_"));
  EXPECT_THAT(metrics.body, AllOf(HasSubstr("\ncryopod_gateway_agent_up 1\n"),
                                  HasSubstr("cryopod_gateway_build_info{version=\"1.2\"} 1\n")));
}

TEST_F(HttpServiceTest, AnAgentThatGoesAndComesIsFollowed) {
  StartGateway();
  EXPECT_EQ(Get("/readyz").code, 503);
  EXPECT_EQ(Get("/healthz").code, 200);
  const HttpResponse without = Get("/metrics");
  EXPECT_EQ(without.code, 200);
  EXPECT_THAT(without.body,
              AllOf(Not(HasSubstr("agent_says")), HasSubstr("\ncryopod_gateway_agent_up 0\n")));

  StartAgent();
  EXPECT_TRUE(Eventually([&] { return Get("/readyz").code == 200; }));
  EXPECT_THAT(Get("/metrics").body, HasSubstr("agent_says 1\n"));

  agent_.reset();
  EXPECT_TRUE(Eventually([&] { return Get("/readyz").code == 503; }));
  // A question that was on its way when the agent went says less than the next one.
  EXPECT_TRUE(Eventually([&] {
    const std::string said = Get("/readyz").body;
    return said.starts_with("agent not ok: ") && said.find(socket()) != std::string::npos;
  }));
  EXPECT_EQ(Sample("cryopod_gateway_agent_up"), "0");
  EXPECT_NE(Sample("cryopod_gateway_agent_last_contact_timestamp_seconds"), "0");

  StartAgent();
  EXPECT_TRUE(Eventually([&] { return Get("/readyz").code == 200; }));
}

TEST_F(HttpServiceTest, ReadinessNamesWhatTheNodeLacks) {
  StartAgent();
  api::NodeInfo node;
  node.requirements = {
      {api::kCriu, api::RequirementState::kLacking, "", "CRIU is too old", "install another"}};
  agent_->SetNode(node);
  StartGateway();
  ASSERT_TRUE(Eventually([&] { return Sample("cryopod_gateway_agent_up") == "1"; }));

  EXPECT_THAT(Get("/readyz").body, HasSubstr("criu not ok: CRIU is too old\n"));
  const HttpResponse verbose = Get("/readyz?verbose");
  EXPECT_EQ(verbose.code, 503);
  EXPECT_EQ(nlohmann::json::parse(verbose.body)["checks"][2]["problem"], "CRIU is too old");
}

TEST_F(HttpServiceTest, VersionKnowsTheAgentsOnceItAnswers) {
  StartAgent();
  StartGateway();
  ASSERT_TRUE(Eventually([&] { return Sample("cryopod_gateway_agent_up") == "1"; }));

  const auto version = nlohmann::json::parse(Get("/version").body);

  EXPECT_EQ(version["gateway"], CRYOPOD_VERSION);
  EXPECT_EQ(version["agent"], "7.7");
  EXPECT_EQ(version["criu"], "4.2.1");
}

TEST_F(HttpServiceTest, AnythingElseIsNotFoundAndSaysWhatThereIs) {
  StartGateway();

  const HttpResponse response = Get("/etc/passwd");

  EXPECT_EQ(response.code, 404);
  EXPECT_THAT(response.body, HasSubstr("/metrics /healthz /readyz /version"));
  EXPECT_EQ(Sample("cryopod_gateway_requests_total{code=\"404\",path=\"other\"}"), "1");
}

TEST_F(HttpServiceTest, AnAgentThatHangsHoldsUpNobodyButWhoAsksForItsMetrics) {
  StartAgent();
  agent_->Hang("Metrics");
  agent_->Hang("NodeInfo");
  text_options_.timeout = std::chrono::milliseconds(1'500);
  StartGateway();
  HttpClient scraper(port_);
  scraper.Send("GET /metrics HTTP/1.1\r\nHost: n\r\n\r\n");
  ASSERT_TRUE(Eventually([&] {
    const std::vector<std::string> calls = agent_->calls();
    return std::find(calls.begin(), calls.end(), "Metrics") != calls.end();
  }));

  EXPECT_EQ(Get("/healthz").code, 200);
  EXPECT_EQ(Get("/readyz").code, 503);
  EXPECT_EQ(Get("/version").code, 200);

  const HttpResponse late = scraper.Receive();
  EXPECT_EQ(late.code, 200);
  EXPECT_THAT(late.body, Not(HasSubstr("agent_says")));
}

TEST_F(HttpServiceTest, ManyScrapersAskTheAgentOnce) {
  StartAgent();
  text_options_.fresh = std::chrono::minutes(10);
  StartGateway();

  for (int i = 0; i < 20; ++i) EXPECT_THAT(Get("/metrics").body, HasSubstr("agent_says 1\n"));

  const std::vector<std::string> calls = agent_->calls();
  EXPECT_EQ(std::count(calls.begin(), calls.end(), "Metrics"), 1);
}

}  // namespace
}  // namespace cryopod::gateway
