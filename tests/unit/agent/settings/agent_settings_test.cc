#include "agent/settings/agent_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "agent/settings/gateway_settings.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::settings {
namespace {

using cryopod::test::IsOk;
using ::testing::HasSubstr;

TEST(AgentSettingsTest, PathsFollowFromTheDirectories) {
  AgentSettings settings;
  settings.libexec_dir = "/l";

  EXPECT_EQ(settings.agent_socket(), "/run/cryopod/agent.sock");
  EXPECT_EQ(settings.runtime_socket(), "/run/cryopod/runtime.sock");
  EXPECT_EQ(settings.jobs_dir(), "/run/cryopod/jobs");
  EXPECT_EQ(settings.store_root(), "/var/lib/cryopod/archives");
  EXPECT_EQ(settings.checkpoint_program(), "/l/cryopod-checkpoint");
  EXPECT_EQ(settings.restore_program(), "/l/cryopod-restore");
  EXPECT_EQ(settings.unpack_program(), "/l/cryopod-unpack");
}

TEST(AgentSettingsTest, InnerProgramsLieBesideTheProgramWhereverThePrefixStands) {
  EXPECT_THAT(LibexecBesideUs(), ::testing::EndsWith("/libexec/cryopod"));
}

TEST(AgentSettingsTest, TheExampleFileSaysWhatTheProgramKnows) {
  AgentSettings settings;

  EXPECT_THAT(cryopod::test::ReadText(CRYOPOD_EXAMPLE_SETTINGS),
              HasSubstr(PrintExample(AgentProgram(settings, "1"))));
  GatewaySettings gateway;
  EXPECT_THAT(cryopod::test::ReadText(CRYOPOD_EXAMPLE_SETTINGS),
              HasSubstr(PrintExample(GatewayProgram(gateway, "1"))));
}

TEST(AgentSettingsTest, TheExampleFileWithEveryKeyTakenGivesTheDefaults) {
  const cryopod::test::TempDirectory temp;
  const std::string path = temp.path() / "cryopod.toml";
  const std::string example = cryopod::test::ReadText(CRYOPOD_EXAMPLE_SETTINGS);
  cryopod::test::WriteText(path,
                           std::regex_replace(example, std::regex("(^|\n)# ([a-z_]+ = )"), "$1$2"));
  AgentSettings settings;
  const std::string defaults = PrintSettings(AgentProgram(settings, "1"));
  settings.run_dir = "/other";
  settings.restore_hold_ms = 7;

  EXPECT_THAT(ReadSettingsFile(AgentProgram(settings, "1"), path), IsOk());

  EXPECT_EQ(PrintSettings(AgentProgram(settings, "1")), defaults);

  GatewaySettings gateway;
  const std::string gateway_defaults = PrintSettings(GatewayProgram(gateway, "1"));
  gateway.listen = "other";
  gateway.allow_root = true;
  EXPECT_THAT(ReadSettingsFile(GatewayProgram(gateway, "1"), path), IsOk());
  EXPECT_EQ(PrintSettings(GatewayProgram(gateway, "1")), gateway_defaults);
}

}  // namespace
}  // namespace cryopod::settings
