#include "restore/runtime/finished_container.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/status_matchers.h"

namespace cryopod::wrapper {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr char kProgram[] = "/opt/cryopod/libexec/cryopod/cryopod-finished";

Json Replaced(const std::string& config) {
  const Result<std::string> text = WithProgramReplaced(config, kProgram);
  EXPECT_THAT(text, test::IsOk());
  return text.ok() ? Json::parse(*text) : Json();
}

TEST(WithProgramReplacedTest, TheProgramIsBoundReadOnlyAndRunAlone) {
  const Json config = Replaced(
      R"({"process": {"args": ["/bin/sh", "-c", "setup"], "cwd": "/"}, "mounts": [{"destination": "/dev"}]})");

  EXPECT_EQ(config["process"]["args"], Json({kFinishedPath}));
  ASSERT_EQ(config["mounts"].size(), 2u);
  EXPECT_EQ(config["mounts"][0]["destination"], "/dev") << "comes first: it holds the new one";
  EXPECT_EQ(config["mounts"][1]["destination"], kFinishedPath);
  EXPECT_EQ(config["mounts"][1]["source"], kProgram);
  EXPECT_EQ(config["mounts"][1]["options"], Json({"bind", "ro", "nosuid", "nodev"}));
}

TEST(WithProgramReplacedTest, EverythingElseIsAsTheRequestSays) {
  const std::string config =
      R"({"process": {"args": ["x"], "user": {"uid": 1000}, "noNewPrivileges": true,
          "terminal": true, "commandLine": "x"}, "root": {"path": "rootfs", "readonly": true},
          "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"},
          "resources": {"memory": {"limit": 9223372036854771712}}}})";

  Json replaced = Replaced(config);

  Json expected = Json::parse(config);
  expected["process"]["args"] = {kFinishedPath};
  expected["process"].erase("commandLine");
  replaced.erase("mounts");
  EXPECT_EQ(replaced, expected);
}

TEST(WithProgramReplacedTest, WhatIsNoConfigurationIsRefused) {
  for (const char* config : {"", "[]", "{}", R"({"process": 1})", "{"}) {
    EXPECT_THAT(WithProgramReplaced(config, kProgram),
                test::StatusIs(Code::kDataLoss, HasSubstr("OCI configuration")))
        << config;
  }
}

}  // namespace
}  // namespace cryopod::wrapper
