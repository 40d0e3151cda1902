#include <gmock/gmock.h>

#include <filesystem>

#include "restore/runtime/protocol/container_marks.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/restore/runtime/wrapper_fixture.h"

namespace cryopod::wrapper {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class StateTest : public WrapperFixture {
 protected:
  std::string State(const std::string& status) {
    test::WriteText(Path("state.json"), R"({"id": "c1", "status": ")" + status +
                                            R"(", "annotations": {"a": "paused"}})");
    return Run(Arguments({"state", "c1"})).text;
  }
};

TEST_F(StateTest, AHeldContainerIsNotPaused) {
  EXPECT_THAT(State("paused"), HasSubstr(R"("status": "paused")")) << "by somebody else";
  Hold();

  const std::string state = State("paused");

  EXPECT_THAT(state, HasSubstr(R"("status": "running")"));
  EXPECT_THAT(state, HasSubstr(R"("a": "paused")"));
  EXPECT_THAT(State("stopped"), HasSubstr(R"("status": "stopped")"));
}

TEST_F(StateTest, NorIsOneThatIsRestoredAndNotStarted) {
  std::filesystem::create_directories(state_dir());
  ASSERT_THAT(WriteRestoredMark(state_dir(), Request()), test::IsOk());

  EXPECT_THAT(State("paused"), HasSubstr(R"("status": "running")"));
}

TEST_F(StateTest, WhatTheRuntimeSaysOtherwiseIsHandedOn) {
  Hold();
  test::WriteText(Path("exit"), "3");

  const CommandOutput output = Run(Arguments({"state", "c1"}));

  EXPECT_EQ(output.status.exit_code, 3);
  EXPECT_THAT(output.text, Not(HasSubstr("running")));
}

}  // namespace
}  // namespace cryopod::wrapper
