#include "agent/gateway/readiness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace cryopod::gateway {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

const Deadline::Clock::time_point kNow = Deadline::Clock::now();

NodeState GoodState() {
  NodeState state;
  state.agent_answers = true;
  state.agent_error.clear();
  state.answered_at = kNow - milliseconds(3200);
  state.node.emplace();
  return state;
}

api::Requirement Lacking(const std::string& name, const std::string& reason) {
  return {name, api::RequirementState::kLacking, "", reason, "mend it"};
}

std::string TextOf(const NodeState& state) { return JudgeReadiness(state, kNow).text; }

TEST(ReadinessTest, ANodeThatHasEverythingIsReadyAndSaysSinceWhen) {
  EXPECT_EQ(TextOf(GoodState()),
            "agent ok\nruntime ok\ncriu ok\nnode ok\nready, known for 3.2 s\n");
}

TEST(ReadinessTest, AnAgentThatNeverAnsweredLeavesEverythingUnknown) {
  const std::string text = TextOf(NodeState());

  EXPECT_THAT(text, HasSubstr("agent not ok: the agent has not been asked yet\n"));
  EXPECT_THAT(text, HasSubstr("criu not ok: not known"));
  EXPECT_THAT(text, ::testing::EndsWith("\nnot ready\n"));
}

TEST(ReadinessTest, OfAnAgentThatWentAwayTheLastKnownIsSaid) {
  NodeState state = GoodState();
  state.agent_answers = false;
  state.agent_error = "nobody listens on /s";

  EXPECT_EQ(TextOf(state),
            "agent not ok: nobody listens on /s\nruntime ok\ncriu ok\nnode ok\n"
            "not ready, known for 3.2 s\n");
}

TEST(ReadinessTest, EveryCauseFailsItsOwnCheckAlone) {
  const std::pair<api::Requirement, std::string> causes[] = {
      {Lacking(api::kCriu, "too old"), "runtime ok\ncriu not ok: too old\nnode ok\n"},
      {Lacking(api::kCriuFeatures, "no soft-dirty"),
       "runtime ok\ncriu not ok: no soft-dirty\nnode ok\n"},
      {Lacking(api::kRuntime, "no answer"), "runtime not ok: no answer\ncriu ok\nnode ok\n"},
      {Lacking(api::kDiskSpace, "1 MiB free"),
       "runtime ok\ncriu ok\nnode not ok: disk-space: 1 MiB free\n"},
  };
  for (const auto& [requirement, lines] : causes) {
    NodeState state = GoodState();
    state.node->requirements = {requirement};

    EXPECT_FALSE(JudgeReadiness(state, kNow).ready);
    EXPECT_EQ(TextOf(state), "agent ok\n" + lines + "not ready, known for 3.2 s\n");
  }
}

TEST(ReadinessTest, RequirementsThatAreMetOrUnknownFailNothing) {
  NodeState state = GoodState();
  state.node->requirements = {{api::kCriu, api::RequirementState::kMet, "4.2", "", ""},
                              {api::kCriuFeatures, api::RequirementState::kUnknown, "", "", ""}};
  state.node->problems = {"CRIU: said by requirements already"};

  EXPECT_TRUE(JudgeReadiness(state, kNow).ready);
}

TEST(ReadinessTest, AnAgentWithoutRequirementsIsUnderstoodByItsProblems) {
  NodeState state = GoodState();
  state.node->problems = {"CRIU: too old\nready", "runtime: silent", "cgroups: none", "odd"};

  // A problem of several lines stays one.
  EXPECT_THAT(TextOf(state), HasSubstr("runtime not ok: silent\ncriu not ok: too old ready\n"
                                       "node not ok: cgroups: none; odd\n"));
}

TEST(ReadinessTest, TheJsonSaysTheSame) {
  NodeState state = GoodState();
  state.node->problems = {"CRIU: not \xff utf-8"};

  const auto json = nlohmann::json::parse(JudgeReadiness(state, kNow).json);

  EXPECT_EQ(json["ready"], false);
  EXPECT_NEAR(json["age_seconds"].get<double>(), 3.2, 0.001);
  ASSERT_EQ(json["checks"].size(), 4u);
  EXPECT_EQ(json["checks"][0], (nlohmann::json{{"name", "agent"}, {"ok", true}}));
  EXPECT_EQ(json["checks"][2]["name"], "criu");
  EXPECT_EQ(json["checks"][2]["ok"], false);
  EXPECT_THAT(json["checks"][2]["problem"].get<std::string>(), HasSubstr("utf-8"));
  const std::string never = JudgeReadiness(NodeState(), kNow).json;
  EXPECT_TRUE(nlohmann::json::parse(never)["age_seconds"].is_null());
}

}  // namespace
}  // namespace cryopod::gateway
