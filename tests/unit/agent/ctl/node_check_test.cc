#include <gmock/gmock.h>
#include <unistd.h>

#include "tests/unit/agent/ctl/ctl_fixture.h"

namespace cryopod::ctl {
namespace {

using api::RequirementState;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class NodeCheckTest : public test::CtlFixture {
 protected:
  void SetRequirements(std::vector<api::Requirement> requirements) {
    api::NodeInfo node;
    node.requirements = std::move(requirements);
    server_.SetNode(node);
  }
  // A machine that has none of what it names, so that nothing of the real one is asked.
  std::string WriteConfig(const std::string& more = "") {
    test::WriteText(Path("cryopod.toml"), "[agent]\nrun_dir = \"" + Path("run") +
                                              "\"\ncriu = \"/nowhere/criu\"\nstate_dir = \"" +
                                              Path("state") + "\"\ncontainerd_socket = \"" +
                                              Path("cri.sock") + "\"\n" + more);
    return Path("cryopod.toml");
  }
  static json Find(const json& list, const std::string& name) {
    for (const json& requirement : list) {
      if (requirement["requirement"] == name) return requirement;
    }
    ADD_FAILURE() << "no requirement " << name;
    return json();
  }
  static std::string ReasonOf(const json& list, const std::string& name) {
    return Find(list, name).value("reason", "");
  }
  json CheckWithoutAgent(const std::string& socket, const std::string& config) {
    server_.FailNext("NodeInfo", Code::kUnavailable, "shutting down");
    const Outcome outcome =
        RunCtl({"--socket", socket, "node", "check", "--config", config, "--output", "json"});
    EXPECT_EQ(outcome.exit_code, 11) << outcome.err;
    return json::parse(outcome.out, nullptr, /*allow_exceptions=*/false);
  }
};

TEST_F(NodeCheckTest, WhatIsLackingIsNamedWithReasonAndRemedyUnderACodeOfItsOwn) {
  const api::Requirement kernel{api::kKernel, RequirementState::kMet, "6.18", "", ""};
  SetRequirements({kernel});
  const Outcome nothing = RunCtl({"node", "check"});
  EXPECT_EQ(nothing.exit_code, 0);
  EXPECT_EQ(nothing.out, "REQUIREMENT  STATE  FOUND\nkernel       ok     6.18\n");

  SetRequirements({kernel,
                   {api::kCriu, RequirementState::kLacking, "3.17", "too old", "install 4.1"},
                   {api::kCriuFeatures, RequirementState::kUnknown, "", "not without criu", ""}});
  const Outcome outcome = RunCtl({"node", "check"});
  EXPECT_EQ(outcome.exit_code, 11);
  EXPECT_EQ(outcome.out,
            "REQUIREMENT    STATE     FOUND\n"
            "kernel         ok        6.18\n"
            "criu           LACKING   3.17\n"
            "criu-features  not seen  not without criu\n"
            "\ncriu is lacking: too old\n  remedy: install 4.1\n");
}

TEST_F(NodeCheckTest, AsJsonItIsAListThatTellsUnseenFromLacking) {
  SetRequirements({{api::kKernel, RequirementState::kMet, "6.18", "", ""},
                   {api::kCriu, RequirementState::kLacking, "3.17", "too old", "install 4.1"},
                   {api::kCriuFeatures, RequirementState::kUnknown, "", "not without criu", ""}});

  const Outcome outcome = RunCtl({"node", "check", "--output", "json"});

  EXPECT_EQ(outcome.exit_code, 11);
  EXPECT_EQ(json::parse(outcome.out), json::parse(R"([
      {"requirement": "kernel", "ok": true, "found": "6.18", "reason": "", "remedy": ""},
      {"requirement": "criu", "ok": false, "found": "3.17", "reason": "too old",
       "remedy": "install 4.1"},
      {"requirement": "criu-features", "ok": null, "found": "", "reason": "not without criu",
       "remedy": ""}])"));
}

TEST_F(NodeCheckTest, AStrangersWordsStayInTheirLine) {
  SetRequirements({{api::kCriu, RequirementState::kLacking, "", "a\nb\x1b[2J", "c\nd"}});

  const std::string out = RunCtl({"node", "check"}).out;

  EXPECT_THAT(out, AllOf(HasSubstr("a b"), HasSubstr("remedy: c d\n"), Not(HasSubstr("\x1b"))));
}

TEST_F(NodeCheckTest, AnErrorOfTheAgentIsTheAnswer) {
  server_.FailNext("NodeInfo", Code::kResourceExhausted, "too many readers");

  const Outcome outcome = RunCtl({"node", "check"});

  EXPECT_EQ(outcome.exit_code, 8);
  EXPECT_THAT(outcome.err, HasSubstr("too many readers"));
}

TEST_F(NodeCheckTest, WithoutAnAgentItIsNamedAndTheRestIsLookedAtAllTheSame) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root looks without the agent";
  const json list = CheckWithoutAgent(socket_, WriteConfig());

  EXPECT_EQ(Find(list, "agent")["ok"], false);
  EXPECT_THAT(ReasonOf(list, "agent"), HasSubstr(socket_));
  EXPECT_EQ(Find(list, "capabilities")["ok"], nullptr);
  EXPECT_EQ(Find(list, "criu")["ok"], false);
  EXPECT_THAT(ReasonOf(list, "criu"), HasSubstr("/nowhere/criu"));
  EXPECT_EQ(Find(list, "runtime")["ok"], false);
}

TEST_F(NodeCheckTest, WhyTheAgentDoesNotAnswerIsSaidAsFarAsItCanBeSeen) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root looks without the agent";
  const std::string absent = Path("absent.sock");
  EXPECT_THAT(ReasonOf(CheckWithoutAgent(absent, WriteConfig()), "agent"),
              HasSubstr("there is no socket " + absent));

  const std::string config = WriteConfig("loglevel = \"info\"\n");
  EXPECT_THAT(ReasonOf(CheckWithoutAgent(socket_, config), "agent"),
              HasSubstr(config + ":6: [agent] has no key loglevel"));
}

}  // namespace
}  // namespace cryopod::ctl
