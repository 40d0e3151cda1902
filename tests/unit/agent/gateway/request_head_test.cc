#include "agent/gateway/request_head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace cryopod::gateway {
namespace {

std::string Get(const std::string& target, const std::string& headers = "Host: n\r\n") {
  return "GET " + target + " HTTP/1.1\r\n" + headers + "\r\n";
}

// The status with which a whole request is refused; 0 when it is taken.
int Refusal(const std::string& bytes) {
  const RequestHead parsed = ParseRequestHead(bytes);
  EXPECT_TRUE(parsed.complete || parsed.http_status != 0) << bytes;
  return parsed.http_status;
}

TEST(ParseRequestHeadTest, TakesARequestAndLeavesWhatFollows) {
  const std::string request = Get("/readyz?verbose", "Host: n\r\nAccept: */*\r\n");

  const RequestHead parsed = ParseRequestHead(request + "GET /next");

  EXPECT_TRUE(parsed.complete);
  EXPECT_EQ(parsed.http_status, 0);
  EXPECT_EQ(parsed.size_bytes, request.size());
  EXPECT_EQ(parsed.text, Get("/readyz?verbose", "Host: n\r\nAccept: */*\r\nConnection: close\r\n"));
  EXPECT_FALSE(parsed.bodiless_answer);
}

TEST(ParseRequestHeadTest, TheConnectionEndsWhateverTheClientWants) {
  for (const std::string version : {"1.0", "1.1"}) {
    for (const std::string header : {"", "Connection: close\r\n", "connection:Keep-Alive\r\n"}) {
      const std::string line = "GET / HTTP/" + version + "\r\nHost: n\r\n";
      EXPECT_EQ(ParseRequestHead(line + header + "\r\n").text, line + "Connection: close\r\n\r\n");
    }
  }
}

TEST(ParseRequestHeadTest, HeadIsAskedAsGet) {
  const RequestHead head = ParseRequestHead("HEAD /x HTTP/1.1\r\nHost: n\r\n\r\n");

  EXPECT_TRUE(head.bodiless_answer);
  EXPECT_EQ(head.text, Get("/x", "Host: n\r\nConnection: close\r\n"));
}

TEST(ParseRequestHeadTest, EveryBeginningOfARequestIsABeginning) {
  const std::string request = "\r\n" + Get("/metrics", "Host: n\r\nUser-Agent: p/1\r\n");

  for (size_t size = 0; size < request.size(); ++size) {
    const RequestHead parsed = ParseRequestHead(request.substr(0, size));
    EXPECT_FALSE(parsed.complete) << size;
    EXPECT_EQ(parsed.http_status, 0) << size;
  }
  EXPECT_TRUE(ParseRequestHead(request).complete);
}

TEST(ParseRequestHeadTest, ABodyHasOneLengthInDigits) {
  const auto parse = [](const std::string& header) {
    return ParseRequestHead(Get("/", "Host: n\r\n" + header));
  };
  EXPECT_EQ(parse("").body_bytes, 0u);
  EXPECT_EQ(parse("Content-Length: 0\r\n").body_bytes, 0u);
  EXPECT_EQ(parse("content-length:5000000000\r\n").body_bytes, 5'000'000'000u);
  for (const std::string length : {"-1", "", "1, 1", "1\r\nContent-Length: 1"}) {
    EXPECT_EQ(parse("Content-Length: " + length + "\r\n").http_status, 400) << length;
  }
  EXPECT_EQ(parse("Content-Length: 99999999999999999999999\r\n").http_status, 413);
  EXPECT_EQ(parse("Transfer-Encoding: chunked\r\n").http_status, 411);
}

TEST(ParseRequestHeadTest, WhoWaitsToBeToldIsKnown) {
  EXPECT_TRUE(ParseRequestHead(Get("/", "Host: n\r\nExpect: 100-Continue\r\n")).expects_continue);
  EXPECT_FALSE(ParseRequestHead(Get("/")).expects_continue);
}

TEST(ParseRequestHeadTest, WhatTwoServersMayReadDifferentlyIsRefused) {
  const std::string zero("Host: n\r\nX: \0\r\n", 14);
  for (const std::string& headers :
       std::vector<std::string>{"Host: n\r\n folded\r\n", "Host : n\r\n", "Host: n\r\nHost: m\r\n",
                                "Host: n\r\nNo colon\r\n", "Host: n\r\nX: a\rb\r\n", zero, ""}) {
    EXPECT_EQ(Refusal(Get("/", headers)), 400) << headers;
  }
  EXPECT_EQ(Refusal("GET / HTTP/1.1\nHost: n\n\r\n\r\n"), 400);
  for (const std::string line : {"GET /a b HTTP/1.1", "GET  HTTP/1.1", "G(T / HTTP/1.1"}) {
    EXPECT_EQ(Refusal(line + "\r\nHost: n\r\n\r\n"), 400) << line;
  }
}

TEST(ParseRequestHeadTest, OtherVersionsAreNamedAsSuchAndWhatIsNoHttpIsRefusedAtOnce) {
  EXPECT_EQ(Refusal("GET / HTTP/2.0\r\nHost: n\r\n\r\n"), 505);
  EXPECT_EQ(Refusal("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(Refusal("GET / FTP/1.1\r\nHost: n\r\n\r\n"), 400);
  EXPECT_EQ(Refusal(std::string("\x16\x03\x01\x02\x00", 5)), 400);  // a TLS handshake
  EXPECT_EQ(Refusal("(garbage) without an end"), 400);
  EXPECT_EQ(Refusal(std::string(40, 'a')), 400);  // no method is so long
}

TEST(ParseRequestHeadTest, SizesAreBoundedWhateverIsStillToCome) {
  EXPECT_EQ(Refusal(Get("/" + std::string(kHeadBytesMax - 100, 'a'))), 0);
  EXPECT_EQ(Refusal("GET /" + std::string(kHeadBytesMax, 'a')), 431);
  EXPECT_EQ(Refusal("GET / HTTP/1.1\r\nX: " + std::string(kHeadBytesMax, 'a')), 431);
  std::string many;
  for (size_t i = 0; i <= kHeaderCountMax; ++i) many += "X: y\r\n";
  EXPECT_EQ(Refusal(Get("/", many)), 431);
}

TEST(ParseRequestHeadTest, NoBytesMakeItReadOrAskBeyondItsLimits) {
  std::mt19937 random(4711);
  const std::string alphabet = std::string("GET /metrics HTTP/1.1\r\n\r\nHost: a:\t", 34) + '\0';
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = round % 2 == 0 ? Get("/metrics") : std::string();
    for (size_t changes = random() % 40; changes > 0; --changes) {
      const size_t at = bytes.empty() ? 0 : random() % bytes.size();
      bytes.insert(at, 1, alphabet[random() % alphabet.size()]);
    }

    const RequestHead parsed = ParseRequestHead(bytes);

    EXPECT_LE(parsed.size_bytes, bytes.size());
    EXPECT_TRUE(parsed.http_status == 0 || !ReasonPhrase(parsed.http_status).empty());
  }
}

}  // namespace
}  // namespace cryopod::gateway
