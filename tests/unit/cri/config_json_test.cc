#include "cri/config_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "cri/api.pb.h"

namespace cryopod::cri {
namespace {

namespace v1 = runtime::v1;
using testing::HasSubstr;

TEST(ParseStrictJsonTest, TakesProtoNamesAndCamelCase) {
  v1::ContainerConfig config;

  const Status status = ParseStrictJson(
      R"({"working_dir": "/srv", "logPath": "app.log", "CDI_devices": [{"name": "a.b/c=d"}],
          "mounts": [{"containerPath": "/data", "host_path": "/x", "uidMappings": []}]})",
      "the container configuration", &config);

  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(config.working_dir(), "/srv");
  EXPECT_EQ(config.log_path(), "app.log");
  EXPECT_EQ(config.cdi_devices(0).name(), "a.b/c=d");
  EXPECT_EQ(config.mounts(0).container_path(), "/data");
}

TEST(ParseStrictJsonTest, TakesEnumsByNameAndByNumber) {
  v1::ContainerConfig by_name;
  v1::ContainerConfig by_number;

  ASSERT_TRUE(ParseStrictJson(R"({"stop_signal": "SIGNAL_SIGTERM"})", "c", &by_name).ok());
  ASSERT_TRUE(ParseStrictJson(R"({"stop_signal": 23})", "c", &by_number).ok());

  EXPECT_EQ(by_name.stop_signal(), v1::SIGNAL_SIGTERM);
  EXPECT_EQ(by_number.stop_signal(), v1::SIGNAL_SIGTERM);
}

TEST(ParseStrictJsonTest, RefusesAnUnknownFieldByName) {
  v1::PodSandboxConfig config;

  const Status status = ParseStrictJson(R"({"linux": {"cgroup_parnet": "/x"}})",
                                        "the sandbox configuration", &config);

  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("cgroup_parnet"));
  EXPECT_THAT(status.message(), HasSubstr("the sandbox configuration"));
}

TEST(ParseStrictJsonTest, RefusesAValueOfTheWrongType) {
  v1::PodSandboxConfig config;

  const Status status = ParseStrictJson(R"({"hostname": {"a": 1}})", "pod", &config);

  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("hostname"));
}

TEST(ParseStrictJsonTest, RefusesWhatOnlyProtobufsOwnParserWouldTake) {
  for (const char* text : {"{'hostname': 'a'}", "{hostname: \"a\"}", R"({"hostname": "a",})", "",
                           R"({"hostname": "a"} {})"}) {
    v1::PodSandboxConfig config;

    const Status status = ParseStrictJson(text, "pod", &config);

    EXPECT_EQ(status.code(), Code::kInvalidArgument) << text;
  }
}

TEST(ParseStrictJsonTest, RefusesTextOfEndlessDepth) {
  std::string text = R"({"labels": )";
  for (int i = 0; i < 100'000; ++i) text += R"({"a":)";
  text += "1" + std::string(100'000, '}') + "}";
  v1::PodSandboxConfig config;

  const Status status = ParseStrictJson(text, "pod", &config);

  EXPECT_EQ(status.code(), Code::kInvalidArgument);
}

TEST(ParseStrictJsonTest, RefusesTextAboveTheLimit) {
  const std::string text = R"({"hostname": ")" + std::string(kConfigBytesMax, 'a') + "\"}";
  v1::PodSandboxConfig config;

  const Status status = ParseStrictJson(text, "pod", &config);

  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("larger than 4 MiB"));
}

TEST(ParseLenientJsonTest, DropsAnUnknownFieldAndKeepsTheRest) {
  v1::PodSandboxConfig config;

  const Status status =
      ParseLenientJson(R"({"hostname": "web", "new_in_2030": {"a": [1]}})", "pod", &config);

  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(config.hostname(), "web");
}

TEST(PrintJsonTest, PrintsWhatParseStrictJsonReadsBack) {
  v1::ContainerConfig config;
  config.mutable_metadata()->set_name("app");
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(int64_t{1} << 40);
  config.mutable_linux()->mutable_security_context()->mutable_run_as_user()->set_value(1000);
  config.mutable_linux()->mutable_security_context()->mutable_seccomp()->set_profile_type(
      v1::SecurityProfile::Localhost);
  (*config.mutable_labels())["a\"b"] = "ü\n";
  config.set_stop_signal(v1::SIGNAL_SIGRTMINPLUS3);
  v1::ContainerConfig read_back;

  const std::string json = PrintJson(config);

  ASSERT_TRUE(ParseStrictJson(json, "c", &read_back).ok()) << json;
  EXPECT_EQ(read_back.SerializeAsString(), config.SerializeAsString());
  EXPECT_THAT(json, HasSubstr("security_context"));
}

TEST(ApiProtoTest, AFieldThatWeDoNotKnowSurvives) {
  v1::PodSandbox newer;
  newer.set_id("4f");
  std::string bytes = newer.SerializeAsString();
  bytes += std::string("\xa2\x06\x03xyz", 6);  // field 100, three bytes

  v1::PodSandbox ours;
  ASSERT_TRUE(ours.ParseFromString(bytes));

  EXPECT_EQ(ours.id(), "4f");
  EXPECT_EQ(ours.SerializeAsString(), bytes);
}

}  // namespace
}  // namespace cryopod::cri
