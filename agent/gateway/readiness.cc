#include "agent/gateway/readiness.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent/api/requirement.h"

namespace cryopod::gateway {
namespace {

using nlohmann::ordered_json;

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
void JudgeNode(const api::NodeInfo& info, std::string& runtime, std::string& criu,
               std::string& node) {
  for (const api::Requirement& requirement : info.requirements) {
    if (requirement.state != api::RequirementState::kLacking) continue;
    const std::string& name = requirement.name;
    if (name == api::kCriu || name == api::kCriuFeatures) {
      Append(criu, requirement.reason);
    } else if (name == api::kRuntime) {
      Append(runtime, requirement.reason);
    } else {
      Append(node, name + ": " + requirement.reason);
    }
  }
  if (!info.requirements.empty()) return;
  for (const std::string& problem : info.problems) {
    if (problem.starts_with(kCriuProblem)) {
      Append(criu, problem.substr(sizeof kCriuProblem - 1));
    } else if (problem.starts_with(kRuntimeProblem)) {
      Append(runtime, problem.substr(sizeof kRuntimeProblem - 1));
    } else {
      Append(node, problem);
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

Readiness JudgeReadiness(const NodeState& state, Deadline::Clock::time_point now) {
  // What is wrong by each check; empty: nothing.
  std::string runtime, criu, node;
  if (state.node) {
    JudgeNode(*state.node, runtime, criu, node);
  } else {
    runtime = criu = node = "not known: the agent has never answered";
  }
  const std::string agent = state.agent_answers ? "" : state.agent_error;
  Readiness readiness;
  readiness.ready = agent.empty() && runtime.empty() && criu.empty() && node.empty();
  ordered_json checks = ordered_json::array();
  for (const auto& [name, problem] : std::initializer_list<std::pair<const char*, std::string>>{
           {"agent", agent}, {"runtime", runtime}, {"criu", criu}, {"node", node}}) {
    readiness.text += name + (problem.empty() ? " ok\n" : " not ok: " + OneLine(problem) + "\n");
    ordered_json check = {{"name", name}, {"ok", problem.empty()}};
    if (!problem.empty()) check["problem"] = problem;
    checks.push_back(std::move(check));
  }
  readiness.text += readiness.ready ? "ready" : "not ready";
  ordered_json json = {{"ready", readiness.ready}, {"checks", checks}, {"age_seconds", nullptr}};
  if (state.answered_at) {
    const double age_seconds = std::chrono::duration<double>(now - *state.answered_at).count();
    readiness.text += ", known for " + Fixed(age_seconds) + " s";
    json["age_seconds"] = age_seconds;
  }
  readiness.text += "\n";
  readiness.json = json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
  return readiness;
}

}  // namespace cryopod::gateway
