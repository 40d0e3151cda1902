#include "agent/gateway/tcp_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/settings/gateway_settings.h"
#include "tests/support/status_matchers.h"

namespace cryopod::gateway {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::HasSubstr;

TEST(TcpSocketTest, ListensAtAnAddressAndAFreePort) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd four, ListenTcp("127.0.0.1:0"));
  const std::string endpoint = LocalEndpoint(four.get());

  EXPECT_THAT(endpoint, ::testing::StartsWith("127.0.0.1:"));
  EXPECT_NE(endpoint, "127.0.0.1:0");
  EXPECT_THAT(ListenTcp(endpoint), StatusIs(Code::kUnavailable, HasSubstr(endpoint)));
}

TEST(TcpSocketTest, KnowsTheDefaultAndBothFamilies) {
  EXPECT_THAT(CheckEndpoint(settings::GatewaySettings().listen), IsOk());
  EXPECT_THAT(CheckEndpoint("0.0.0.0:9464"), IsOk());
  EXPECT_THAT(CheckEndpoint("[::1]:9464"), IsOk());
  EXPECT_THAT(CheckEndpoint("[::]:65535"), IsOk());
  Result<UniqueFd> six = ListenTcp("[::1]:0");
  if (six.ok()) {  // not every machine has it
    EXPECT_THAT(LocalEndpoint(six->get()), ::testing::StartsWith("[::1]:"));
  }
}

TEST(TcpSocketTest, WhatIsNoEndpointIsNamed) {
  for (const std::string text :
       {"", "9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:http",
        "localhost:9464", "::1:9464", "[::1]", "[x]:1", ":9464", "127.0.0.1:1 "}) {
    EXPECT_THAT(CheckEndpoint(text),
                StatusIs(Code::kInvalidArgument, HasSubstr("\"" + text + "\"")))
        << text;
  }
}

}  // namespace
}  // namespace cryopod::gateway
