#include "agent/daemon/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ReadConfigTest : public ::testing::Test {
 protected:
  ReadConfigTest() { cryopod::test::WriteText(file_, "[agent]\n"); }
  // The machine that tests may have a configuration of its own.
  Result<std::string> Read(std::vector<const char*> arguments, settings::AgentSettings& config) {
    arguments.insert(arguments.begin(), {"cryopod-agent", "--config", file_.c_str()});
    return ReadConfig(static_cast<int>(arguments.size()), arguments.data(), config);
  }
  cryopod::test::TempDirectory temp_;
  const std::string file_ = temp_.path() / "cryopod.toml";
};

TEST_F(ReadConfigTest, WithoutFlagsTheDefaultsHold) {
  settings::AgentSettings config;

  EXPECT_THAT(Read({}, config), IsOkAnd(IsEmpty()));

  EXPECT_EQ(config.agent_socket(), "/run/cryopod/agent.sock");
  EXPECT_EQ(config.containerd_socket, "/run/containerd/containerd.sock");
  EXPECT_EQ(config.checkpoint_timeout_s, 300u);
  // Beside the program, wherever the prefix stands.
  EXPECT_THAT(config.libexec_dir, ::testing::EndsWith("/libexec/cryopod"));
}

TEST_F(ReadConfigTest, EveryFlagIsHeard) {
  settings::AgentSettings config;

  EXPECT_THAT(Read({"--run-dir=/r", "--state-dir=/s", "--containerd-socket=/c",
                    "--runtime-root=/rr", "--criu=/criu", "--libexec-dir=/l",
                    "--checkpoint-timeout=1", "--restore-timeout=2", "--restore-idle-timeout=3",
                    "--restore-hold=4", "--reader-group=readers", "--log-level=debug"},
                   config),
              IsOkAnd(IsEmpty()));

  EXPECT_EQ(config.run_dir, "/r");
  EXPECT_EQ(config.state_dir, "/s");
  EXPECT_EQ(config.containerd_socket, "/c");
  EXPECT_EQ(config.runtime_root, "/rr");
  EXPECT_EQ(config.criu_program, "/criu");
  EXPECT_EQ(config.unpack_program(), "/l/cryopod-unpack");
  EXPECT_EQ(config.checkpoint_timeout_s, 1u);
  EXPECT_EQ(config.restore_timeout_s, 2u);
  EXPECT_EQ(config.restore_idle_timeout_s, 3u);
  EXPECT_EQ(config.restore_hold_ms, 4u);
  EXPECT_EQ(config.reader_group, "readers");
  EXPECT_EQ(config.log_level, "debug");
}

TEST_F(ReadConfigTest, ValuesThatCannotBeRightAreRefusedWithTheirFlag) {
  const std::string long_path = "/" + std::string(60, 'x');
  const std::string longest_path = "/" + std::string(59, 'x');
  const std::vector<std::pair<const char*, const char*>> bad = {{"--run-dir", "relative"},
                                                                {"--run-dir", long_path.c_str()},
                                                                {"--state-dir", ""},
                                                                {"--containerd-socket", "relative"},
                                                                {"--runtime-root", "relative"},
                                                                {"--libexec-dir", "relative"},
                                                                {"--criu", ""},
                                                                {"--reader-group", ""},
                                                                {"--checkpoint-timeout", "0"},
                                                                {"--restore-timeout", "0"},
                                                                {"--restore-idle-timeout", "0"},
                                                                {"--log-level", "loud"}};
  for (const auto& [flag, value] : bad) {
    settings::AgentSettings config;
    EXPECT_THAT(Read({flag, value}, config), StatusIs(Code::kInvalidArgument, HasSubstr(flag)))
        << value;
  }
  settings::AgentSettings config;
  EXPECT_THAT(Read({"--run-dir", longest_path.c_str()}, config), IsOk())
      << "as long as a socket's path allows";
}

class CheckConfigTest : public ::testing::Test {
 protected:
  CheckConfigTest() {
    config_.libexec_dir = temp_.path();
    for (const std::string& program :
         {config_.checkpoint_program(), config_.restore_program(), config_.unpack_program()}) {
      std::ofstream(program) << "#!/bin/sh\n";
      ::chmod(program.c_str(), 0755);
    }
  }
  cryopod::test::TempDirectory temp_;
  settings::AgentSettings config_;
};

TEST_F(CheckConfigTest, AWholeInstallationPasses) { EXPECT_THAT(CheckConfig(config_), IsOk()); }

TEST_F(CheckConfigTest, AnInnerProgramThatIsMissingOrMayNotRunIsNamedWithTheRemedy) {
  const auto names = [](const std::string& program) {
    return StatusIs(Code::kNotFound,
                    ::testing::AllOf(HasSubstr(program), HasSubstr("--libexec-dir")));
  };
  ::chmod(config_.unpack_program().c_str(), 0644);
  EXPECT_THAT(CheckConfig(config_), names(config_.unpack_program()));

  std::filesystem::remove(config_.restore_program());
  EXPECT_THAT(CheckConfig(config_), names(config_.restore_program()));
}

}  // namespace
}  // namespace cryopod::daemon
