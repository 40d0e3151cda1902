#include <gmock/gmock.h>
#include <signal.h>

#include <fstream>

#include "restore/runtime/protocol/container_marks.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/restore/runtime/wrapper_fixture.h"

namespace cryopod::wrapper {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PassThroughTest : public WrapperFixture {};

TEST_F(PassThroughTest, TheRealRuntimeGetsEveryArgumentAsItWas) {
  const std::vector<std::string> lines = {
      "--version",
      "features",
      "--root /r --new-option x --log=/l kill --all abc 9",
      "--root /r delete --force abc",
      "update --resources=- abc",
      "frobnicate --what ever",
  };
  for (const std::string& line : lines) {
    std::istringstream words(line);
    std::vector<std::string> arguments;
    for (std::string word; words >> word;) arguments.push_back(word);
    EXPECT_EQ(Run(arguments).status.exit_code, 0) << line;
  }

  EXPECT_EQ(RuntimeCalls(), lines);
}

TEST_F(PassThroughTest, ArgumentsWithBlanksAndEmptyOnesSurvive) {
  const CommandOutput output = Run({"exec", "abc", "sh", "-c", "echo  two  blanks", ""});

  EXPECT_THAT(output.text, HasSubstr("called with 6"));
  EXPECT_THAT(RuntimeCalls(), ElementsAre("exec abc sh -c echo  two  blanks "));
}

TEST_F(PassThroughTest, StandardInputReachesTheRealRuntime) {
  const std::string input("bytes\0and more\n", 15);

  const CommandOutput output = Run({"update", "--resources=-", "abc"}, input);

  EXPECT_EQ(output.text, input + "called with 3\n");
}

TEST_F(PassThroughTest, TheExitCodeIsTheRealRuntimes) {
  test::WriteText(Path("exit"), "137");

  EXPECT_EQ(Run({"exec", "abc", "true"}).status.exit_code, 137);
}

TEST_F(PassThroughTest, ACreateWithoutTheAnnotationNeedsNoAgent) {
  WritePlainBundle();

  const CommandOutput output =
      Run(Arguments({"create", "--bundle", Path("bundle"), "--pid-file", Path("pid"), "c1"}));

  EXPECT_EQ(output.status.exit_code, 0);
  ASSERT_EQ(RuntimeCalls().size(), 1u);
  EXPECT_THAT(RuntimeCalls().front(), HasSubstr("create --bundle " + Path("bundle")));
}

TEST_F(PassThroughTest, AMissingBundleIsTheRealRuntimesToRefuse) {
  EXPECT_EQ(Run(Arguments({"create", "--bundle", Path("absent"), "c1"})).status.exit_code, 0);

  EXPECT_EQ(RuntimeCalls().size(), 1u);
}

TEST_F(PassThroughTest, AStartOfAnOrdinaryContainerNeedsNoAgent) {
  EXPECT_EQ(Run(Arguments({"start", "c1"})).status.exit_code, 0);

  EXPECT_EQ(RuntimeCalls().size(), 1u);
}

TEST_F(PassThroughTest, AnIdThatIsAPathIsLeftToTheRealRuntime) {
  for (const char* id : {"../c1", "a/b", "..", "."}) {
    EXPECT_EQ(Run(Arguments({"start", id})).status.exit_code, 0) << id;
  }

  EXPECT_EQ(RuntimeCalls().size(), 4u);
}

TEST_F(PassThroughTest, ARunThatAsksForARestoreIsRefused) {
  WriteBundle("app");

  EXPECT_EQ(Run(Arguments({"run", "--bundle", Path("bundle"), "c1"})).status.exit_code, 1);

  EXPECT_THAT(RuntimeCalls(), IsEmpty());
  EXPECT_THAT(LoggedError(), HasSubstr("by create, not by run"));
}

TEST_F(PassThroughTest, ARuntimeThatIsMissingIsNamedWithTheRemedy) {
  test::WriteText(Path("runtime.conf"), "runtime=/absent/runc\n");

  EXPECT_EQ(Run(Arguments({"state", "c1"})).status.exit_code, 1);

  EXPECT_THAT(LoggedError(), HasSubstr("/absent/runc"));
  EXPECT_THAT(LoggedError(), HasSubstr("runtime.conf"));
}

TEST_F(PassThroughTest, AMistakeInTheConfigurationIsSaid) {
  test::WriteText(Path("runtime.conf"), "runtme=runc\n");

  EXPECT_EQ(Run(Arguments({"state", "c1"})).status.exit_code, 1);

  EXPECT_THAT(LoggedError(), HasSubstr("runtme"));
}

// Subcommands that need running processes, on a container that is held.
class HeldContainerTest : public WrapperFixture {
 protected:
  void Hold() {
    std::filesystem::create_directories(state_dir());
    test::WriteText(Path("cgroup.procs"), "");
    ASSERT_THAT(WriteHeldMark(state_dir(), temp_.path().string()), test::IsOk());
  }
};

TEST_F(HeldContainerTest, ExecKillPauseAndCheckpointReleaseItWithoutTheAgent) {
  const std::vector<std::vector<std::string>> calls = {{"exec", "--process", "/p", "c1"},
                                                       {"kill", "c1", "15"},
                                                       {"pause", "c1"},
                                                       {"checkpoint", "c1"}};
  for (const std::vector<std::string>& call : calls) {
    Hold();

    EXPECT_EQ(Run(Arguments(call)).status.exit_code, 0) << call.front();

    EXPECT_FALSE(IsHeld(state_dir())) << call.front();
  }
  EXPECT_EQ(RuntimeCalls().size(), calls.size());
}

TEST_F(HeldContainerTest, WhatOnlyLooksLeavesItHeld) {
  Hold();

  for (const char* subcommand : {"state", "ps", "events"}) {
    EXPECT_EQ(Run(Arguments({subcommand, "c1"})).status.exit_code, 0) << subcommand;
  }

  EXPECT_TRUE(IsHeld(state_dir()));
}

TEST_F(HeldContainerTest, AStoppedProcessRunsWhenAnExecArrives) {
  SpawnOptions options;
  options.argv = {"/bin/sleep", "60"};
  Result<Subprocess> child = Subprocess::Spawn(options);
  ASSERT_THAT(child, test::IsOk());
  ASSERT_THAT(child->Kill(SIGSTOP), test::IsOk());
  Hold();
  test::WriteText(Path("cgroup.procs"), std::to_string(child->pid()) + "\n");

  EXPECT_EQ(Run(Arguments({"exec", "c1", "true"})).status.exit_code, 0);

  // A process that is stopped does not die of SIGTERM before it is continued.
  ASSERT_THAT(child->Kill(SIGTERM), test::IsOk());
  EXPECT_THAT(child->Wait(Deadline::After(std::chrono::seconds(5))), test::IsOk());
}

TEST_F(HeldContainerTest, ADamagedMarkFailsTheExecInsteadOfLettingItHang) {
  Hold();
  test::WriteText(state_dir() + "/cryopod.held", "rubbish");

  EXPECT_EQ(Run(Arguments({"exec", "c1", "true"})).status.exit_code, 1);

  EXPECT_THAT(RuntimeCalls(), IsEmpty());
}

}  // namespace
}  // namespace cryopod::wrapper
