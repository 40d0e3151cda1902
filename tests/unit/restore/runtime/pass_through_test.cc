#include <gmock/gmock.h>

#include <atomic>
#include <sstream>
#include <thread>

#include "restore/runtime/protocol/attempt_lock.h"
#include "restore/runtime/protocol/consumed_record.h"
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

TEST_F(PassThroughTest, BlanksStandardInputAndTheExitCodeSurvive) {
  const std::string input("bytes\0and more\n", 15);
  test::WriteText(Path("exit"), "137");

  const CommandOutput output = Run({"exec", "abc", "sh", "-c", "echo  two  blanks", ""}, input);

  EXPECT_EQ(output.text, input + "called with 6\n");
  EXPECT_THAT(RuntimeCalls(), ElementsAre("exec abc sh -c echo  two  blanks "));
  EXPECT_EQ(output.status.exit_code, 137);
}

TEST_F(PassThroughTest, ACreateWithoutTheAnnotationNeedsNoAgent) {
  test::WriteText(Path("bundle/config.json"), R"({"root": {"path": "rootfs"}})");

  EXPECT_EQ(Create(), 0);

  ASSERT_EQ(RuntimeCalls().size(), 1u);
  EXPECT_THAT(RuntimeCalls().front(), HasSubstr("create --bundle " + Path("bundle")));
}

TEST_F(PassThroughTest, AStartOfAnOrdinaryContainerOrOfAnIdThatIsAPathNeedsNoAgent) {
  for (const char* id : {"c1", "../c1", "a/b", "..", "."}) {
    EXPECT_EQ(Call({"start", id}), 0) << id;
  }

  EXPECT_EQ(RuntimeCalls().size(), 5u);
}

TEST_F(PassThroughTest, ARunThatAsksForARestoreIsRefused) {
  WriteBundle("app");

  EXPECT_EQ(Call({"run", "--bundle", Path("bundle"), "c1"}), 1);

  EXPECT_THAT(RuntimeCalls(), IsEmpty());
  EXPECT_THAT(LoggedError(), HasSubstr("by create, not by run"));
}

TEST_F(PassThroughTest, AMistakeInTheConfigurationOrAMissingRuntimeIsNamedWithTheRemedy) {
  test::WriteText(Path("runtime.conf"), "runtme=runc\n");
  EXPECT_EQ(Call({"state", "c1"}), 1);
  EXPECT_THAT(LoggedError(), HasSubstr("runtme"));

  test::WriteText(Path("runtime.conf"), "runtime=/absent/runc\n");
  EXPECT_EQ(Call({"state", "c1"}), 1);
  EXPECT_THAT(LoggedError(), HasSubstr("/absent/runc"));
  EXPECT_THAT(LoggedError(), HasSubstr("runtime.conf"));
}

// Subcommands that need running processes, on a container that is held.
class HeldContainerTest : public WrapperFixture {};

TEST_F(HeldContainerTest, ExecKillPauseAndCheckpointReleaseItWithoutTheAgent) {
  const std::vector<std::vector<std::string>> calls = {{"exec", "--process", "/p", "c1"},
                                                       {"kill", "c1", "15"},
                                                       {"pause", "c1"},
                                                       {"checkpoint", "c1"}};
  for (const std::vector<std::string>& call : calls) {
    Hold();

    EXPECT_EQ(Call(call), 0) << call.front();

    EXPECT_FALSE(IsHeld()) << call.front();
  }
  EXPECT_EQ(RuntimeCalls().size(), calls.size());
}

TEST_F(HeldContainerTest, AnExecWaitsForTheRestoreOfOneThatSharesItsPids) {
  Hold();
  Result<UniqueFd> attempt = BeginAttempt(Path("state"), "u-1");
  ASSERT_THAT(attempt, test::IsOk());
  std::atomic<bool> is_done = false;
  std::jthread exec([&] {
    EXPECT_EQ(Call({"exec", "c1", "true"}), 0);
    is_done = true;
  });
  // The call takes a few milliseconds where nothing keeps it.
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_FALSE(is_done);
  EXPECT_TRUE(IsHeld());

  attempt->Reset();
  exec.join();

  EXPECT_FALSE(IsHeld());
}

TEST_F(HeldContainerTest, OneThatIsEndedWaitsForNobody) {
  Hold();
  const Result<UniqueFd> attempt = BeginAttempt(Path("state"), "u-1");

  EXPECT_EQ(Call({"kill", "c1", "15"}), 0);

  EXPECT_FALSE(IsHeld());
}

TEST_F(HeldContainerTest, WhatOnlyLooksLeavesItHeld) {
  Hold();

  for (const char* subcommand : {"state", "ps", "events"}) {
    EXPECT_EQ(Call({subcommand, "c1"}), 0) << subcommand;
  }

  EXPECT_TRUE(IsHeld());
}

TEST_F(HeldContainerTest, WhatIsLetRunIsRecordedBefore) {
  Hold();
  Request request;
  request.pod_uid = "u-1";
  request.container_name = "app";
  request.restore_from = "web-1";
  ASSERT_THAT(WasRestored(Path("state"), request), test::IsOkAnd(false));

  EXPECT_EQ(Call({"exec", "c1", "true"}), 0);

  EXPECT_THAT(WasRestored(Path("state"), request), test::IsOkAnd(true));
}

TEST_F(HeldContainerTest, WhereNothingCanBeRecordedItIsNotExecutedInAndCanBeEnded) {
  Hold();
  test::WriteText(Path("state/consumed"), "a file where the directory should be");

  EXPECT_EQ(Call({"exec", "c1", "true"}), 1);
  EXPECT_EQ(Call({"kill", "c1", "9"}), 0);

  EXPECT_TRUE(IsHeld());
  EXPECT_EQ(RuntimeCalls().size(), 1u);
}

TEST_F(HeldContainerTest, WhoseStartWasNotAnsweredIsEndedWithoutEverRunning) {
  Hold();
  ASSERT_THAT(WriteRestoredMark(state_dir(), Request()), test::IsOk());

  EXPECT_EQ(Call({"kill", "c1", "9"}), 0);

  EXPECT_TRUE(IsHeld());
}

TEST_F(HeldContainerTest, ADamagedMarkFailsTheExecInsteadOfLettingItHang) {
  Hold();
  test::WriteText(state_dir() + "/cryopod.held", "rubbish");

  EXPECT_EQ(Call({"exec", "c1", "true"}), 1);

  EXPECT_THAT(RuntimeCalls(), IsEmpty());
}

}  // namespace
}  // namespace cryopod::wrapper
