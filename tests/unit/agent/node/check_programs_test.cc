#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "agent/node/checks.h"
#include "agent/os/unix_socket.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::node {
namespace {

namespace fs = std::filesystem;
using test::Soon;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CheckProgramsTest : public ::testing::Test {
 protected:
  CheckProgramsTest() {
    settings_.libexec_dir = temp_.path();
    settings_.run_dir = temp_.path();
    for (const std::string& program :
         {settings_.checkpoint_program(), settings_.restore_program()}) {
      WriteProgram(program, "exit 0");
    }
    fs::create_symlink(CRYOPOD_UNPACK_PROGRAM, settings_.unpack_program());
  }
  // The fake does what its name says (tests/fakes/fake_criu.cc).
  void UseCriu(const std::string& behaviour) {
    settings_.criu_program = temp_.path() / behaviour;
    fs::create_symlink(CRYOPOD_FAKE_CRIU, settings_.criu_program);
  }
  static void WriteProgram(const std::string& path, const std::string& body) {
    fs::remove(path);
    cryopod::test::WriteText(path, "#!/bin/sh\n" + body + "\n");
    ::chmod(path.c_str(), 0755);
  }

  cryopod::test::TempDirectory temp_;
  settings::AgentSettings settings_;
};

TEST_F(CheckProgramsTest, ACriuThatIsNewEnoughSaysItsVersion) {
  UseCriu("criu");

  EXPECT_EQ(CheckCriu(settings_, Soon()).found, "CRIU 4.2.1");
  EXPECT_THAT(CheckCriuFeatures(settings_, Soon()).reason, IsEmpty());
}

TEST_F(CheckProgramsTest, AnOldCriuAndAnAbsentOneAreLackingAndTheMinimumIsNamed) {
  settings_.criu_program = temp_.path() / "no-criu";
  EXPECT_THAT(CheckCriu(settings_, Soon()).reason, HasSubstr("no-criu"));

  UseCriu("criu-old");
  EXPECT_THAT(CheckCriu(settings_, Soon()).reason, HasSubstr("3.17"));
  EXPECT_THAT(CheckCriu(settings_, Soon()).remedy, HasSubstr("4.1"));
}

TEST_F(CheckProgramsTest, AKernelThatCriuCannotUseIsLackingWithCriusReason) {
  UseCriu("criu-unfit");

  EXPECT_THAT(CheckCriu(settings_, Soon()).reason, IsEmpty());
  EXPECT_THAT(CheckCriuFeatures(settings_, Soon()).reason, HasSubstr("CRIU cannot work"));
}

TEST_F(CheckProgramsTest, AnInnerProgramThatIsMissingIsNamed) {
  EXPECT_THAT(CheckInnerPrograms(settings_).reason, IsEmpty());
  fs::remove(settings_.restore_program());

  EXPECT_THAT(CheckInnerPrograms(settings_).reason, HasSubstr(settings_.restore_program()));
}

TEST_F(CheckProgramsTest, TheRealUnpackerGivesUpItsRightsAndIsMet) {
  EXPECT_THAT(CheckUnpack(settings_, Soon()).reason, IsEmpty());
}

TEST_F(CheckProgramsTest, AnUnpackerThatIsMissingOrDoesNotWorkIsLackingWithItsReason) {
  fs::remove(settings_.unpack_program());
  EXPECT_THAT(CheckUnpack(settings_, Soon()).reason, HasSubstr("missing"));

  const std::pair<const char*, const char*> broken[] = {
      {"kill -9 $$", "cannot be used"},
      {"exit 1", "cannot be used"},
      {"echo '7 giving up privileges: seccomp' >&5; exit 1", "giving up privileges"}};
  for (const auto& [script, reason] : broken) {
    WriteProgram(settings_.unpack_program(), script);
    EXPECT_THAT(CheckUnpack(settings_, Soon()).reason, HasSubstr(reason)) << script;
  }
}

TEST_F(CheckProgramsTest, ARuntimeSocketThatNobodyListensOnIsLacking) {
  EXPECT_THAT(CheckRuntimeSocket(settings_, Soon()).reason,
              AllOf(HasSubstr(settings_.runtime_socket()), HasSubstr("restored")));

  const Result<UniqueFd> listener = ListenUnix(settings_.runtime_socket());
  ASSERT_THAT(listener, cryopod::test::IsOk());
  EXPECT_THAT(CheckRuntimeSocket(settings_, Soon()).reason, IsEmpty());
}

}  // namespace
}  // namespace cryopod::node
