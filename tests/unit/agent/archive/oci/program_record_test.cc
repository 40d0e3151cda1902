#include "agent/archive/oci/program_record.h"

#include "agent/archive/oci/sha256.h"
#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

ProgramRecord Of(const std::string& process) {
  const Result<json::Value> config = json::Parse(R"({"process": )" + process + "}");
  EXPECT_THAT(config, IsOk());
  return config.ok() ? DescribeProgram(*config) : ProgramRecord();
}

TEST(ProgramRecordTest, SaysWhatTheContainerRunsAndNoValueOfItsEnvironment) {
  const ProgramRecord program =
      Of(R"({"args": ["/app", "--port", "80"], "cwd": "/srv", "env": ["A=secret", "B="]})");

  EXPECT_EQ(program.command, "/app --port 80");
  EXPECT_EQ(program.working_directory, "/srv");
  EXPECT_THAT(program.environment,
              ElementsAre(Pair("A", DigestOf("secret")), Pair("B", DigestOf(""))));
}

TEST(ProgramRecordTest, ArgumentsThatLookAlikeInOneLineDiffer) {
  EXPECT_NE(Of(R"({"args": ["a b"]})").command_digest,
            Of(R"({"args": ["a", "b"]})").command_digest);
  EXPECT_EQ(Of(R"({"args": ["a", "b"]})").command_digest,
            Of(R"({"args": ["a", "b"], "cwd": "/"})").command_digest);
}

TEST(ProgramRecordTest, WhatIsAnotherInEveryPodIsLeftOut) {
  const ProgramRecord program = Of(R"({"env": ["HOSTNAME=web-0", "WEB_SERVICE_HOST=10.0.0.1",
      "WEB_SERVICE_PORT_HTTP=80", "WEB_PORT=tcp://10.0.0.1:80", "WEB_PORT_80_TCP_ADDR=10.0.0.1",
      "PORT=8080", "SERVICE=web"]})");

  EXPECT_THAT(program.environment,
              ElementsAre(Pair("PORT", ::testing::_), Pair("SERVICE", ::testing::_)));
}

TEST(ProgramRecordTest, WhateverAPodIsGivenAnArchiveMayHold) {
  std::string environment;
  for (int i = 0; i < 300; ++i) environment += "\"V" + std::to_string(i) + "=x\",";
  const std::string long_name(200, 'N');
  PodCheckpoint checkpoint = SampleCheckpoint({"app"});
  checkpoint.containers[0].program =
      Of(R"({"args": ["sh", "-c", "line\nline\u0007", ")" + std::string(100'000, 'x') +
         R"("], "cwd": "/a\nb", "env": [")" + long_name + R"(=x", "no equals", )" + environment +
         R"("\u0007=x"]})");

  EXPECT_EQ(checkpoint.containers[0].program.environment.size(), 256u);
  EXPECT_THAT(ParsePodCheckpoint(ToJson(checkpoint)), IsOkAnd(checkpoint));
}

TEST(ProgramRecordTest, TellsAFilterOfTheRuntimeFromThoseOfTheProgram) {
  for (const auto& [config, has_filter] :
       {std::pair(R"({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}}})", true),
        std::pair(R"({"linux": {"seccomp": null}})", false), std::pair("{}", false)}) {
    PodCheckpoint checkpoint = SampleCheckpoint({"app"});
    checkpoint.containers[0].program = DescribeProgram(json::Parse(config).value());

    EXPECT_EQ(checkpoint.containers[0].program.runtime_filter, has_filter) << config;
    EXPECT_THAT(ParsePodCheckpoint(ToJson(checkpoint)), IsOkAnd(checkpoint));
  }
}

TEST(ProgramRecordTest, AConfigurationThatSaysNothingIsNoRecord) {
  EXPECT_TRUE(Of("{}").empty());
  EXPECT_TRUE(DescribeProgram(json::Value()).empty());
}

}  // namespace
}  // namespace cryopod::archive::test
