#include "agent/gateway/front.h"

#include <filesystem>
#include <iterator>
#include <list>
#include <vector>

#include "tests/unit/agent/gateway/gateway_fixture.h"

namespace cryopod::gateway {
namespace {

using std::chrono::milliseconds;
using test::HttpClient;
using test::HttpResponse;
using ::testing::HasSubstr;

constexpr char kHealthz[] = "GET /healthz HTTP/1.1\r\nHost: n\r\n\r\n";

size_t CountThreads() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                                           std::filesystem::directory_iterator()));
}

class FrontTest : public test::GatewayFixture {
 protected:
  void ExpectServed() const { EXPECT_EQ(Get("/healthz").body, "ok\n"); }
  // Sends `bytes` and receives the answer; then the connection must have ended.
  HttpResponse Ask(const std::string& bytes, bool bodiless = false) const {
    HttpClient client(port_);
    client.Send(bytes);
    HttpResponse response = client.Receive(bodiless);
    EXPECT_TRUE(client.Ended()) << bytes.substr(0, 40);
    return response;
  }
  // Sends `bytes`, and expects the code and then the end.
  void ExpectRefused(const std::string& bytes, int code) const {
    const HttpResponse response = Ask(bytes);
    EXPECT_EQ(response.code, code) << bytes.substr(0, 40);
    EXPECT_THAT(response.head, HasSubstr("Connection: close\r\n"));
  }
};

TEST_F(FrontTest, AConnectionEndsWithItsAnswerAndSaysSo) {
  StartGateway();

  const HttpResponse response = Ask(kHealthz);

  EXPECT_EQ(response.body, "ok\n");
  EXPECT_THAT(response.head, HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_EQ(Sample("cryopod_gateway_connections_total"), "1");
  EXPECT_EQ(Sample("cryopod_gateway_requests_total{code=\"200\",path=\"/healthz\"}"), "1");
}

TEST_F(FrontTest, WhatComesBehindARequestNeverReachesTheService) {
  StartGateway();
  for (const std::string& request :
       {std::string(kHealthz),
        std::string("GET /healthz HTTP/1.1\r\nHost: n\r\nConnection: keep-alive\r\n\r\n"),
        std::string("GET /healthz HTTP/1.1\r\nHost: n\r\nContent-Length: 3\r\n\r\nGET")}) {
    EXPECT_EQ(Ask(request + "GET /version HTTP/1.1\r\nHost: n\r\n\r\n").body, "ok\n");
  }

  EXPECT_EQ(Sample("cryopod_gateway_requests_total{code=\"200\",path=\"/healthz\"}"), "3");
  EXPECT_EQ(Sample("cryopod_gateway_requests_total{code=\"200\",path=\"/version\"}"), "");
}

TEST_F(FrontTest, HeadHasTheLengthAndNoBodyAndClientsOfTheOldVersionAreServedToo) {
  StartGateway();

  const HttpResponse head = Ask("HEAD /healthz HTTP/1.1\r\nHost: n\r\n\r\n", true);

  EXPECT_EQ(head.code, 200);
  EXPECT_THAT(head.head, HasSubstr("Content-Length: 3\r\n"));
  EXPECT_EQ(Ask("GET /healthz HTTP/1.0\r\n\r\n").body, "ok\n");
}

TEST_F(FrontTest, OtherMethodsAreNotAllowed) {
  StartGateway();
  for (const std::string method : {"DELETE", "OPTIONS", "TRACE", "BREW"}) {
    const HttpResponse response = Ask(method + " /metrics HTTP/1.1\r\nHost: n\r\n\r\n");

    EXPECT_EQ(response.code, 405) << method;
    EXPECT_THAT(response.head, HasSubstr("Allow: GET, HEAD\r\n")) << method;
  }
}

TEST_F(FrontTest, ABodyThatNoRouteTakesHarmsNobody) {
  StartGateway();
  const std::string head = "POST /metrics HTTP/1.1\r\nHost: n\r\nContent-Length: 1000000\r\n\r\n";
  HttpClient(port_).Send(head + "and away");

  EXPECT_EQ(Ask(head + std::string(1'000'000, 'b')).code, 405);

  EXPECT_TRUE(Eventually([&] { return Sample("cryopod_gateway_connections") == "0"; }));
  ExpectServed();
}

TEST_F(FrontTest, GarbageAndTooMuchAreRefusedAndSeenToBe) {
  StartGateway();

  ExpectRefused(std::string("\x16\x03\x01\x02\x00\x01\x00", 7), 400);
  ExpectRefused("GET / HTTP/1.1\r\nno header\r\n\r\n", 400);
  ExpectRefused("GET / HTTP/3.0\r\nHost: n\r\n\r\n", 505);
  ExpectRefused("GET /" + std::string(9'000, 'a'), 431);
  // More than anybody reads: the response must come through in spite of it.
  ExpectRefused("GET / HTTP/1.1\r\nX: " + std::string(200'000, 'a'), 431);
  ExpectRefused(
      "POST / HTTP/1.1\r\nHost: n\r\nContent-Length: 10000000\r\n\r\n" + std::string(300'000, 'b'),
      413);
  ExpectRefused("GET / HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 411);
  ExpectServed();
}

TEST_F(FrontTest, AHeadThatDoesNotEndEndsTheConnection) {
  options_.timeouts.request = milliseconds(300);
  StartGateway();
  HttpClient slow(port_);
  HttpClient silent(port_);
  // Bytes now and then do not help it.
  slow.Send("GET / HTTP/1.1\r\n");
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    slow.Send("X: y\r\n");
  }

  EXPECT_EQ(slow.Receive().code, 408);
  EXPECT_TRUE(slow.Ended());
  EXPECT_TRUE(silent.Ended());
  EXPECT_EQ(Ended("request_slow"), "2");
}

TEST_F(FrontTest, TheOneThatHasWaitedLongestMakesRoom) {
  options_.connections_max = 8;
  StartGateway();
  std::list<HttpClient> idle;
  for (int i = 0; i < 8; ++i) idle.emplace_back(port_).Send("GET /healthz HT");
  ASSERT_TRUE(Eventually([&] { return Sample("cryopod_gateway_connections") == "8"; }));

  ExpectServed();

  EXPECT_TRUE(idle.front().Ended());
  EXPECT_EQ(Ended("made_room"), "1");
  // The others are as they were.
  idle.back().Send("TP/1.1\r\nHost: n\r\n\r\n");
  EXPECT_EQ(idle.back().Receive().code, 200);
}

TEST_F(FrontTest, OneAddressHarmsOnlyItself) {
  options_.connections_max = 16;
  options_.connections_per_address_max = 8;
  StartGateway();
  HttpClient other(port_, "127.0.0.3");
  other.Send("GET /healthz HT");
  std::list<HttpClient> many;

  for (int i = 0; i < 40; ++i) many.emplace_back(port_, "127.0.0.2");
  ASSERT_TRUE(Eventually([&] { return Ended("made_room") == "32"; }));

  EXPECT_EQ(Sample("cryopod_gateway_connections"), "9");
  other.Send("TP/1.1\r\nHost: n\r\n\r\n");
  EXPECT_EQ(other.Receive().code, 200);
}

TEST_F(FrontTest, ManyIdleAndManyBusyClientsAreAllServedByTheSameThreads) {
  StartAgent();
  StartGateway();
  ExpectServed();
  std::list<HttpClient> idle;
  for (int i = 0; i < 400; ++i) idle.emplace_back(port_, "127.0.0.2");
  const size_t threads_before = CountThreads();

  for (int round = 0; round < 10; ++round) {
    std::list<HttpClient> busy;
    for (int i = 0; i < 60; ++i) {
      busy.emplace_back(port_, "127.0.0.4")
          .Send("GET " + std::string(round % 2 == 0 ? "/metrics" : "/readyz?verbose") +
                " HTTP/1.1\r\nHost: n\r\n\r\n");
    }
    for (HttpClient& client : busy) {
      EXPECT_EQ(client.Receive().code, 200);
    }
  }

  EXPECT_LE(CountThreads(), threads_before + 2);  // gRPC's come and go
  EXPECT_LE(std::stoi(Sample("cryopod_gateway_connections")), 256);
}

TEST_F(FrontTest, ClientsThatLeaveBeforeTheirAnswerLeaveNothing) {
  StartAgent();
  agent_->Hang("Metrics");
  text_options_.timeout = milliseconds(1'000);
  StartGateway();
  for (int i = 0; i < 20; ++i) {
    HttpClient client(port_);
    client.Send("GET /metrics HTTP/1.1\r\nHost: n\r\n\r\n");
    const linger reset = {1, 0};
    ::setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }

  EXPECT_TRUE(Eventually([&] {
    return Sample("cryopod_gateway_connections_total") == "20" &&
           Sample("cryopod_gateway_connections") == "0";
  }));
  ExpectServed();
}

}  // namespace
}  // namespace cryopod::gateway
