#include "agent/gateway/readiness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace cryopod::gateway {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

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

std::string TextOf(const NodeState& state) { return ReadinessText(JudgeReadiness(state, kNow)); }

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

  const std::string text = TextOf(state);

  EXPECT_EQ(text,
            "agent not ok: nobody listens on /s\nruntime ok\ncriu ok\nnode ok\n"
            "not ready, known for 3.2 s\n");
}

TEST(ReadinessTest, EveryCauseFailsItsOwnCheckAlone) {
  const std::pair<api::Requirement, std::string> causes[] = {
      {Lacking(api::kCriu, "too old"), "criu not ok: too old\n"},
      {Lacking(api::kCriuFeatures, "no memory tracking"), "criu not ok: no memory tracking\n"},
      {Lacking(api::kRuntime, "no answer"), "runtime not ok: no answer\n"},
      {Lacking(api::kDiskSpace, "1 MiB free"), "node not ok: disk-space: 1 MiB free\n"},
  };
  for (const auto& [requirement, line] : causes) {
    NodeState state = GoodState();
    state.node->requirements = {requirement};

    const Readiness readiness = JudgeReadiness(state, kNow);

    EXPECT_FALSE(readiness.ready());
    EXPECT_THAT(ReadinessText(readiness), HasSubstr(line));
    EXPECT_EQ(std::count_if(readiness.checks.begin(), readiness.checks.end(),
                            [](const Check& check) { return !check.problem.empty(); }),
              1);
  }
}

TEST(ReadinessTest, RequirementsThatAreMetOrUnknownFailNothing) {
  NodeState state = GoodState();
  state.node->requirements = {{api::kCriu, api::RequirementState::kMet, "4.2", "", ""},
                              {api::kCriuFeatures, api::RequirementState::kUnknown, "", "", ""}};
  state.node->problems = {"CRIU: said by requirements already"};

  EXPECT_TRUE(JudgeReadiness(state, kNow).ready());
}

TEST(ReadinessTest, AnAgentWithoutRequirementsIsUnderstoodByItsProblems) {
  NodeState state = GoodState();
  state.node->problems = {"CRIU: too old", "runtime: silent", "cgroups: none", "machine: odd"};

  const std::string text = TextOf(state);

  EXPECT_THAT(text, HasSubstr("runtime not ok: silent\n"));
  EXPECT_THAT(text, HasSubstr("criu not ok: too old\n"));
  EXPECT_THAT(text, HasSubstr("node not ok: cgroups: none; machine: odd\n"));
}

TEST(ReadinessTest, AProblemOfSeveralLinesStaysOneLine) {
  NodeState state = GoodState();
  state.node->problems = {"CRIU: first\nready"};

  EXPECT_THAT(TextOf(state), HasSubstr("criu not ok: first ready\n"));
}

TEST(ReadinessTest, TheJsonSaysTheSame) {
  NodeState state = GoodState();
  state.node->problems = {"CRIU: not \xff utf-8"};

  const auto json = nlohmann::json::parse(ReadinessJson(JudgeReadiness(state, kNow)));

  EXPECT_EQ(json["ready"], false);
  EXPECT_NEAR(json["age_seconds"].get<double>(), 3.2, 0.001);
  ASSERT_EQ(json["checks"].size(), 4u);
  EXPECT_EQ(json["checks"][0], (nlohmann::json{{"name", "agent"}, {"ok", true}}));
  EXPECT_EQ(json["checks"][2]["name"], "criu");
  EXPECT_EQ(json["checks"][2]["ok"], false);
  EXPECT_THAT(json["checks"][2]["problem"].get<std::string>(), HasSubstr("utf-8"));
}

TEST(ReadinessTest, WithoutAnAnswerTheJsonHasNoAge) {
  const auto json = nlohmann::json::parse(ReadinessJson(JudgeReadiness(NodeState(), kNow)));

  EXPECT_TRUE(json["age_seconds"].is_null());
}

}  // namespace
}  // namespace cryopod::gateway
