#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/node/checks.h"
#include "tests/support/soon.h"
#include "tests/unit/agent/node/wrapper_installation.h"

namespace cryopod::node {
namespace {

using cryopod::test::Soon;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CheckWrapperTest : public ::testing::Test {
 protected:
  WrapperAnswer Ask(const std::string& program) const {
    cri::RuntimeConfiguration configuration;
    configuration.shown = true;
    configuration.handlers["cryopod"].program = program;
    return AskWrapper(configuration, Soon());
  }
  Finding CheckRuntime() const {
    return CheckOciRuntime(Ask(installation_.program()).values, settings_, Soon());
  }

  test::WrapperInstallation installation_;
  settings::AgentSettings settings_;
};

TEST_F(CheckWrapperTest, TheRealWrapperIsKnownByWhatItSays) {
  const WrapperAnswer answer = Ask(installation_.program());

  EXPECT_THAT(answer.program.reason, IsEmpty());
  EXPECT_THAT(answer.program.found, HasSubstr(installation_.program()));
  EXPECT_EQ(wrapper::Get(answer.values, "runtime"), installation_.runc());
}

TEST_F(CheckWrapperTest, WhatIsNotTheWrapperIsNamed) {
  EXPECT_THAT(Ask("").program.reason, HasSubstr("BinaryName is not set"));
  EXPECT_THAT(Ask("/nowhere/cryopod-runtime").program.reason,
              HasSubstr("/nowhere/cryopod-runtime: there is no such program"));
  for (const char* script : {"echo 'No help topic'; exit 3", "echo hello", "echo program=runc"}) {
    installation_.WriteRunc(script);
    EXPECT_THAT(Ask(installation_.runc()).program.reason, HasSubstr("it is not cryopod-runtime"))
        << script;
  }
}

TEST_F(CheckWrapperTest, ARuntimeThatTellsNothingIsNotHeldAgainstIt) {
  const WrapperAnswer answer = AskWrapper(cri::RuntimeConfiguration(), Soon());

  EXPECT_THAT(answer.program.reason, IsEmpty());
  EXPECT_THAT(CheckOciRuntime(answer.values, settings_, Soon()).reason, IsEmpty());
}

TEST_F(CheckWrapperTest, RuncFrom11OnWillDo) {
  EXPECT_THAT(CheckRuntime().reason, IsEmpty());
  EXPECT_THAT(CheckRuntime().found, HasSubstr("1.3.6"));

  installation_.WriteRunc("echo 'runc version 1.1.0-rc.1'; echo 'spec: 1.0.2'");
  EXPECT_THAT(CheckRuntime().reason, IsEmpty());
}

TEST_F(CheckWrapperTest, AnOldRuncAnotherRuntimeAndABrokenOneAreNamed) {
  const std::pair<const char*, const char*> runtimes[] = {
      {"echo 'runc version 1.0.3'", "runc 1.0.3 is too old"},
      {"echo 'crun version 1.14'", "is not runc"},
      {"exit 1", "exit code 1"}};
  for (const auto& [script, reason] : runtimes) {
    installation_.WriteRunc(script);
    EXPECT_THAT(CheckRuntime().reason, HasSubstr(reason));
  }
}

TEST_F(CheckWrapperTest, WhatTheWrapperMissesIsNamed) {
  std::filesystem::remove(installation_.launcher());
  EXPECT_THAT(CheckRuntime().reason, HasSubstr("launcher"));

  std::filesystem::remove(installation_.runc());
  EXPECT_THAT(CheckRuntime().reason, HasSubstr(installation_.runc()));
  EXPECT_THAT(CheckRuntime().remedy, HasSubstr("/etc/cryopod/runtime.conf"));
}

TEST_F(CheckWrapperTest, ASettingThatDiffersFromTheAgentsIsNamedWithBothValues) {
  const auto shared = settings::SharedWithRuntime(settings_);
  ASSERT_FALSE(shared.empty());
  for (const auto& [key, value] : shared) {
    installation_.Configure(key + "=/elsewhere\n");

    const Finding finding = CheckRuntime();

    EXPECT_THAT(finding.reason, testing::AllOf(HasSubstr(key + "=/elsewhere"), HasSubstr(value)));
    EXPECT_THAT(finding.remedy, HasSubstr("name " + key + "=" + value));
  }
}

}  // namespace
}  // namespace cryopod::node
