#include "restore/runtime/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::wrapper {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

TEST(SettingsTest, HaveDefaultsForEverything) {
  const Result<Settings> settings = ParseSettings("");

  ASSERT_THAT(settings, test::IsOk());
  EXPECT_EQ(settings->runtime, "runc");
  EXPECT_EQ(settings->agent_socket, "/run/cryopod/runtime.sock");
  EXPECT_EQ(settings->state_dir, "/var/lib/cryopod");
  EXPECT_LT(settings->answer_timeout, settings->create_timeout);
  EXPECT_LT(settings->create_timeout, std::chrono::seconds(120));
}

TEST(SettingsTest, TakeWhatTheFileSays) {
  const Result<Settings> settings = ParseSettings(
      "runtime=/usr/bin/crun\nagent_socket=/a.sock\nstate_dir=/s\n"
      "answer_timeout_ms=100\ncreate_timeout_ms=200\n");

  ASSERT_THAT(settings, test::IsOk());
  EXPECT_EQ(settings->runtime, "/usr/bin/crun");
  EXPECT_EQ(settings->agent_socket, "/a.sock");
  EXPECT_EQ(settings->state_dir, "/s");
  EXPECT_EQ(settings->answer_timeout, milliseconds(100));
  EXPECT_EQ(settings->create_timeout, milliseconds(200));
}

TEST(SettingsTest, AMistakeIsNamedAndNotIgnored) {
  EXPECT_THAT(ParseSettings("runtim=runc"),
              test::StatusIs(Code::kInvalidArgument, HasSubstr("runtim")));
  // cryopod.toml's, which comes with each plan.
  EXPECT_THAT(ParseSettings("criu=/opt/criu"),
              test::StatusIs(Code::kInvalidArgument, HasSubstr("criu")));
  EXPECT_THAT(ParseSettings("runtime="), test::StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(ParseSettings("state_dir=relative"),
              test::StatusIs(Code::kInvalidArgument, HasSubstr("state_dir")));
  for (const char* value : {"", "0", "-1", "1s", "99999999"}) {
    EXPECT_THAT(ParseSettings(std::string("answer_timeout_ms=") + value),
                test::StatusIs(Code::kInvalidArgument, HasSubstr("answer_timeout_ms")))
        << value;
  }
}

TEST(SettingsTest, TheFileThatTheEnvironmentNamesMustBeThere) {
  test::TempDirectory temp;
  const std::string path = (temp.path() / "runtime.conf").string();
  ASSERT_EQ(::setenv("CRYOPOD_RUNTIME_CONFIG", path.c_str(), 1), 0);

  const Result<Settings> absent = ReadSettings();
  test::WriteText(path, "runtime=crun\n");
  const Result<Settings> present = ReadSettings();
  test::WriteText(path, "nonsense\n");
  const Result<Settings> damaged = ReadSettings();
  ::unsetenv("CRYOPOD_RUNTIME_CONFIG");

  EXPECT_THAT(absent, test::StatusIs(Code::kNotFound));
  ASSERT_THAT(present, test::IsOk());
  EXPECT_EQ(present->runtime, "crun");
  EXPECT_THAT(damaged, test::StatusIs(Code::kInvalidArgument, HasSubstr(path)));
}

}  // namespace
}  // namespace cryopod::wrapper
