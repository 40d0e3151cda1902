#include "agent/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::agent {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::HasSubstr;

Config Parse(std::vector<const char*> arguments, int& exit_code) {
  arguments.insert(arguments.begin(), "cryopod-agent");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data(), exit_code);
}

TEST(ParseCommandLineTest, WithoutFlagsTheDefaultsHold) {
  int exit_code = 0;

  const Config config = Parse({}, exit_code);

  EXPECT_EQ(exit_code, -1);
  EXPECT_EQ(config.agent_socket(), "/run/cryopod/agent.sock");
  EXPECT_EQ(config.runtime_socket(), "/run/cryopod/runtime.sock");
  EXPECT_EQ(config.jobs_dir(), "/run/cryopod/jobs");
  EXPECT_EQ(config.store_root(), "/var/lib/cryopod/archives");
  EXPECT_EQ(config.containerd_socket, "/run/containerd/containerd.sock");
  EXPECT_EQ(config.checkpoint_timeout_s, 300u);
  // Beside the program, wherever the prefix stands.
  EXPECT_THAT(config.libexec_dir, ::testing::EndsWith("/libexec/cryopod"));
  EXPECT_THAT(config.checkpoint_program(),
              ::testing::EndsWith("/libexec/cryopod/cryopod-checkpoint"));
}

TEST(ParseCommandLineTest, EveryFlagIsHeard) {
  int exit_code = 0;

  const Config config = Parse({"--run-dir",
                               "/r",
                               "--state-dir=/s",
                               "--containerd-socket",
                               "/c",
                               "--runtime-root",
                               "/rr",
                               "--criu",
                               "/criu",
                               "--libexec-dir",
                               "/l",
                               "--checkpoint-timeout",
                               "1",
                               "--restore-timeout",
                               "2",
                               "--restore-idle-timeout",
                               "3",
                               "--restore-hold",
                               "4",
                               "--reader-group",
                               "readers",
                               "--log-level",
                               "debug"},
                              exit_code);

  EXPECT_EQ(exit_code, -1);
  EXPECT_EQ(config.run_dir, "/r");
  EXPECT_EQ(config.state_dir, "/s");
  EXPECT_EQ(config.containerd_socket, "/c");
  EXPECT_EQ(config.runtime_root, "/rr");
  EXPECT_EQ(config.criu_program, "/criu");
  EXPECT_EQ(config.unpack_program(), "/l/cryopod-unpack");
  EXPECT_EQ(config.restore_program(), "/l/cryopod-restore");
  EXPECT_EQ(config.checkpoint_timeout_s, 1u);
  EXPECT_EQ(config.restore_timeout_s, 2u);
  EXPECT_EQ(config.restore_idle_timeout_s, 3u);
  EXPECT_EQ(config.restore_hold_ms, 4u);
  EXPECT_EQ(config.reader_group, "readers");
  EXPECT_EQ(config.log_level, "debug");
}

TEST(ParseCommandLineTest, BadInputEndsTheProgramWithTwo) {
  for (const std::vector<const char*>& arguments :
       std::vector<std::vector<const char*>>{{"--no-such-flag"},
                                             {"stray"},
                                             {"--log-level", "loud"},
                                             {"--run-dir"},
                                             {"--checkpoint-timeout", "soon"},
                                             {"--checkpoint-timeout", "-1"},
                                             {"--restore-hold", "99999999999999999999"}}) {
    int exit_code = 0;
    Parse(arguments, exit_code);
    EXPECT_EQ(exit_code, 2) << arguments[0];
  }
}

TEST(ParseCommandLineTest, HelpAndVersionEndItWell) {
  for (const char* flag : {"--help", "--version"}) {
    int exit_code = -2;
    Parse({flag}, exit_code);
    EXPECT_EQ(exit_code, 0) << flag;
  }
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
  Config config_;
};

TEST_F(CheckConfigTest, AWholeInstallationPasses) { EXPECT_THAT(CheckConfig(config_), IsOk()); }

TEST_F(CheckConfigTest, RelativePathsAreRefusedWithTheirFlag) {
  for (const auto& [flag, field] :
       {std::pair{"--run-dir", &Config::run_dir}, std::pair{"--state-dir", &Config::state_dir},
        std::pair{"--containerd-socket", &Config::containerd_socket},
        std::pair{"--runtime-root", &Config::runtime_root},
        std::pair{"--libexec-dir", &Config::libexec_dir}}) {
    Config config = config_;
    config.*field = "relative/path";
    EXPECT_THAT(CheckConfig(config), StatusIs(Code::kInvalidArgument, HasSubstr(flag)));
    config.*field = "";
    EXPECT_THAT(CheckConfig(config), StatusIs(Code::kInvalidArgument, HasSubstr(flag)));
  }
}

TEST_F(CheckConfigTest, ATimeoutOfZeroWouldFailEveryOperationAndIsRefused) {
  for (const auto& [flag, field] :
       {std::pair{"--checkpoint-timeout", &Config::checkpoint_timeout_s},
        std::pair{"--restore-timeout", &Config::restore_timeout_s},
        std::pair{"--restore-idle-timeout", &Config::restore_idle_timeout_s}}) {
    Config config = config_;
    config.*field = 0;
    EXPECT_THAT(CheckConfig(config), StatusIs(Code::kInvalidArgument, HasSubstr(flag)));
  }
}

TEST_F(CheckConfigTest, ARunDirectoryThatLeavesNoRoomForASocketIsRefused) {
  config_.run_dir = "/" + std::string(59, 'x');
  EXPECT_THAT(CheckConfig(config_), IsOk());

  config_.run_dir += "x";

  EXPECT_THAT(CheckConfig(config_), StatusIs(Code::kInvalidArgument, HasSubstr("--run-dir")));
}

TEST_F(CheckConfigTest, AMissingInnerProgramIsNamedWithTheRemedy) {
  std::filesystem::remove(config_.restore_program());

  EXPECT_THAT(CheckConfig(config_),
              StatusIs(Code::kNotFound, ::testing::AllOf(HasSubstr(config_.restore_program()),
                                                         HasSubstr("--libexec-dir"))));
}

TEST_F(CheckConfigTest, AnInnerProgramThatMayNotRunIsNamed) {
  ::chmod(config_.unpack_program().c_str(), 0644);

  EXPECT_THAT(CheckConfig(config_), StatusIs(Code::kNotFound, HasSubstr("cryopod-unpack")));
}

}  // namespace
}  // namespace cryopod::agent
