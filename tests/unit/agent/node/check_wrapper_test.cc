#include "agent/node/check_wrapper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

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

TEST_F(CheckWrapperTest, AProgramThatIsNotThereIsNamed) {
  EXPECT_THAT(Ask("/nowhere/cryopod-runtime").program.reason,
              HasSubstr("/nowhere/cryopod-runtime: there is no such program"));
}

TEST_F(CheckWrapperTest, AnotherProgramIsNotTheWrapper) {
  installation_.WriteRunc("echo 'No help topic'; exit 3");
  EXPECT_THAT(Ask(installation_.runc()).program.reason, HasSubstr("it is not cryopod-runtime"));
  installation_.WriteRunc("echo hello");
  EXPECT_THAT(Ask(installation_.runc()).program.reason, HasSubstr("it is not cryopod-runtime"));
  installation_.WriteRunc("echo program=runc");
  EXPECT_THAT(Ask(installation_.runc()).program.reason, HasSubstr("it is not cryopod-runtime"));
}

TEST_F(CheckWrapperTest, AHandlerWithoutAProgramRunsRunc) {
  EXPECT_THAT(Ask("").program.reason, HasSubstr("BinaryName is not set"));
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
  installation_.WriteRunc("echo 'runc version 1.0.3'");
  EXPECT_THAT(CheckRuntime().reason, HasSubstr("runc 1.0.3 is too old"));
  installation_.WriteRunc("echo 'crun version 1.14'");
  EXPECT_THAT(CheckRuntime().reason, HasSubstr("is not runc"));
  installation_.WriteRunc("exit 1");
  EXPECT_THAT(CheckRuntime().reason, HasSubstr("exit code 1"));
}

TEST_F(CheckWrapperTest, WhatTheWrapperMissesIsNamed) {
  std::filesystem::remove(installation_.launcher());
  EXPECT_THAT(CheckRuntime().reason, HasSubstr("launcher"));

  std::filesystem::remove(installation_.runc());
  EXPECT_THAT(CheckRuntime().reason, HasSubstr(installation_.runc()));
  EXPECT_THAT(CheckRuntime().remedy, HasSubstr("/etc/cryopod/runtime.conf"));
}

TEST_F(CheckWrapperTest, ASettingThatDiffersFromTheAgentsIsNamedWithBothValues) {
  for (const auto& [key, value] : settings::SharedWithRuntime(settings_)) {
    installation_.Configure(key + "=/elsewhere\n");

    const Finding finding = CheckRuntime();

    EXPECT_THAT(finding.reason, testing::AllOf(HasSubstr(key + "=/elsewhere"), HasSubstr(value)));
    EXPECT_THAT(finding.remedy, HasSubstr("name " + key + "=" + value));
  }
}

}  // namespace
}  // namespace cryopod::node
