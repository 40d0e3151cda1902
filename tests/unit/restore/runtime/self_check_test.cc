#include <gmock/gmock.h>

#include <filesystem>

#include "restore/runtime/protocol/key_values.h"
#include "restore/runtime/protocol/self_check_command.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/restore/runtime/wrapper_fixture.h"

namespace cryopod::wrapper {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class SelfCheckTest : public WrapperFixture {
 protected:
  KeyValues Ask() {
    const CommandOutput output = Run({kSelfCheckCommand});
    EXPECT_EQ(output.status.exit_code, 0) << output.text;
    const Result<KeyValues> values = ParseKeyValues(output.text);
    EXPECT_THAT(values, cryopod::test::IsOk()) << output.text;
    return values.ok() ? *values : KeyValues();
  }
};

TEST_F(SelfCheckTest, TheWrapperSaysWhoItIsAndWhatItWouldCall) {
  const KeyValues values = Ask();

  EXPECT_EQ(Get(values, "program"), "cryopod-runtime");
  EXPECT_FALSE(Get(values, "version").empty());
  EXPECT_THAT(Get(values, "runtime"), StartsWith(temp_.path().string()));
  EXPECT_EQ(Get(values, "launcher"), Path("libexec/cryopod/launcher"));
  EXPECT_THAT(Get(values, "agent_socket"), StartsWith("/"));
  EXPECT_THAT(Get(values, "problem"), IsEmpty());
  EXPECT_THAT(RuntimeCalls(), IsEmpty());
}

TEST_F(SelfCheckTest, AWordBesideItMakesItACommandOfTheRealRuntime) {
  Run({kSelfCheckCommand, "more"});

  EXPECT_THAT(RuntimeCalls(), testing::ElementsAre(std::string(kSelfCheckCommand) + " more"));
}

TEST_F(SelfCheckTest, WhatIsMissingIsAProblem) {
  std::filesystem::remove(Get(Ask(), "runtime"));
  std::filesystem::remove_all(Path("libexec/cryopod/launcher"));

  EXPECT_THAT(Get(Ask(), "problem"), AllOf(HasSubstr("no program"), HasSubstr("; no launcher")));
}

TEST_F(SelfCheckTest, SettingsThatCannotBeReadAreAProblem) {
  Configure("no_such_key = 1\n");

  const KeyValues values = Ask();

  EXPECT_THAT(Get(values, "problem"), HasSubstr("no_such_key"));
  EXPECT_EQ(Get(values, "program"), "cryopod-runtime");
}

}  // namespace
}  // namespace cryopod::wrapper
