#include "cri/config_json.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "cri/api.pb.h"
#include "tests/support/status_matchers.h"

namespace cryopod::cri {
namespace {

namespace v1 = runtime::v1;
using test::IsOk;
using test::StatusIs;
using testing::AllOf;
using testing::HasSubstr;

TEST(ParseJsonTest, TakesProtoNamesAndCamelCase) {
  v1::ContainerConfig config;

  ASSERT_THAT(
      ParseJson(
          R"({"working_dir": "/srv", "logPath": "app.log", "CDI_devices": [{"name": "a.b/c=d"}], "stop_signal": "SIGNAL_SIGTERM",
          "mounts": [{"containerPath": "/data", "host_path": "/x", "uidMappings": []}]})",
          "c", &config),
      IsOk());

  EXPECT_EQ(config.working_dir(), "/srv");
  EXPECT_EQ(config.log_path(), "app.log");
  EXPECT_EQ(config.stop_signal(), v1::SIGNAL_SIGTERM);
  EXPECT_EQ(config.cdi_devices(0).name(), "a.b/c=d");
  EXPECT_EQ(config.mounts(0).container_path(), "/data");
}

TEST(ParseJsonTest, RefusesWithTheTextsNameAndWhatIsWrongWithIt) {
  std::string deep = R"({"labels": )";
  for (int i = 0; i < 100'000; ++i) deep += R"({"a":)";
  const std::pair<std::string, const char*> cases[] = {
      {R"({"linux": {"cgroup_parnet": "/x"}})", "cgroup_parnet"},
      {R"({"hostname": {"a": 1}})", "hostname"},
      {deep + "1" + std::string(100'000, '}') + "}", "not valid JSON"},
      {R"({"hostname": ")" + std::string(kConfigBytesMax, 'a') + "\"}", "larger than 4 MiB"},
      // What only protobuf's own parser would take.
      {"{'hostname': 'a'}", "not valid JSON"},
      {"{hostname: \"a\"}", "not valid JSON"},
      {R"({"hostname": "a",})", "not valid JSON"},
      {"", "not valid JSON"},
      {R"({"hostname": "a"} {})", "not valid JSON"}};
  for (const auto& [text, reason] : cases) {
    v1::PodSandboxConfig config;
    EXPECT_THAT(ParseJson(text, "the pod", &config),
                StatusIs(Code::kInvalidArgument, AllOf(HasSubstr("the pod"), HasSubstr(reason))))
        << text.substr(0, 40);
  }
}

TEST(ParseJsonTest, DropsAnUnknownFieldWhenAskedToAndKeepsTheRest) {
  v1::PodSandboxConfig config;

  ASSERT_THAT(ParseJson(R"({"hostname": "web", "new_in_2030": {"a": [1]}})", "c", &config, true),
              IsOk());

  EXPECT_EQ(config.hostname(), "web");
}

}  // namespace
}  // namespace cryopod::cri
