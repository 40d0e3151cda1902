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

TEST(AgentSettingsTest, TheExampleFileSaysWhatTheProgramsKnowAndItsKeysGiveTheDefaults) {
  const cryopod::test::TempDirectory temp;
  const std::string path = temp.path() / "cryopod.toml";
  const std::string example = cryopod::test::ReadText(CRYOPOD_EXAMPLE_SETTINGS);
  cryopod::test::WriteText(path,
                           std::regex_replace(example, std::regex("(^|\n)# ([a-z_]+ = )"), "$1$2"));
  AgentSettings agent;
  GatewaySettings gateway;
  const Program programs[] = {AgentProgram(agent, "1"), GatewayProgram(gateway, "1")};
  const std::string defaults[] = {PrintSettings(programs[0]), PrintSettings(programs[1])};
  EXPECT_THAT(example, HasSubstr(PrintExample(programs[0])));
  EXPECT_THAT(example, HasSubstr(PrintExample(programs[1])));
  agent.run_dir = "/other";
  agent.restore_hold_ms = 7;
  gateway.listen = "other";
  gateway.allow_root = true;

  for (const Program& program : programs) EXPECT_THAT(ReadSettingsFile(program, path), IsOk());

  EXPECT_EQ(PrintSettings(programs[0]), defaults[0]);
  EXPECT_EQ(PrintSettings(programs[1]), defaults[1]);
}

}  // namespace
}  // namespace cryopod::settings
