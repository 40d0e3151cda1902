#include "agent/gateway/readiness.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent/api/requirement.h"

namespace cryopod::gateway {
namespace {

// How the agent begins the problems that belong to a check of their own
// (agent/daemon/observe/node_metrics.cc).
constexpr char kCriuProblem[] = "CRIU: ";
constexpr char kRuntimeProblem[] = "runtime: ";

void Append(std::string& list, const std::string& problem) {
  if (!list.empty()) list += "; ";
  list += problem;
}

// The requirements have names; what an agent says that knows none yet is told apart by its
// beginning.
void JudgeNode(const api::NodeInfo& info, Check& runtime, Check& criu, Check& node) {
  for (const api::Requirement& requirement : info.requirements) {
    if (requirement.state != api::RequirementState::kLacking) continue;
    const std::string& name = requirement.name;
    if (name == api::kCriu || name == api::kCriuFeatures) {
      Append(criu.problem, requirement.reason);
    } else if (name == api::kRuntime) {
      Append(runtime.problem, requirement.reason);
    } else {
      Append(node.problem, name + ": " + requirement.reason);
    }
  }
  if (!info.requirements.empty()) return;
  for (const std::string& problem : info.problems) {
    if (problem.starts_with(kCriuProblem)) {
      Append(criu.problem, problem.substr(sizeof kCriuProblem - 1));
    } else if (problem.starts_with(kRuntimeProblem)) {
      Append(runtime.problem, problem.substr(sizeof kRuntimeProblem - 1));
    } else {
      Append(node.problem, problem);
    }
  }
}

// A problem may have several lines; a check has one.
std::string OneLine(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

std::string Fixed(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", number);
  return text;
}

}  // namespace

bool Readiness::ready() const {
  return std::all_of(checks.begin(), checks.end(),
                     [](const Check& check) { return check.problem.empty(); });
}

Readiness JudgeReadiness(const NodeState& state, Deadline::Clock::time_point now) {
  Check agent{"agent", ""}, runtime{"runtime", ""}, criu{"criu", ""}, node{"node", ""};
  if (!state.agent_answers) agent.problem = state.agent_error;
  if (state.node) {
    JudgeNode(*state.node, runtime, criu, node);
  } else {
    runtime.problem = criu.problem = node.problem = "not known: the agent has never answered";
  }
  Readiness readiness{{agent, runtime, criu, node}};
  if (state.answered_at) {
    readiness.age_seconds = std::chrono::duration<double>(now - *state.answered_at).count();
  }
  return readiness;
}

std::string ReadinessText(const Readiness& readiness) {
  std::string text;
  for (const Check& check : readiness.checks) {
    text += check.name + (check.problem.empty() ? " ok" : " not ok: " + OneLine(check.problem));
    text += '\n';
  }
  text += readiness.ready() ? "ready" : "not ready";
  if (readiness.age_seconds >= 0) text += ", known for " + Fixed(readiness.age_seconds) + " s";
  return text + "\n";
}

std::string ReadinessJson(const Readiness& readiness) {
  nlohmann::ordered_json checks = nlohmann::ordered_json::array();
  for (const Check& check : readiness.checks) {
    nlohmann::ordered_json one = {{"name", check.name}, {"ok", check.problem.empty()}};
    if (!check.problem.empty()) one["problem"] = check.problem;
    checks.push_back(std::move(one));
  }
  nlohmann::ordered_json json = {{"ready", readiness.ready()}, {"checks", std::move(checks)}};
  json["age_seconds"] = nullptr;
  if (readiness.age_seconds >= 0) json["age_seconds"] = readiness.age_seconds;
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace cryopod::gateway
