#include "agent/ctl/node_check.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/node/node_report.h"
#include "agent/os/file.h"
#include "agent/settings/agent_settings.h"
#include "agent/terminal/text.h"

namespace cryopod::ctl {
namespace {

using api::Requirement;
using api::RequirementState;

std::string WhyNoAnswer(const std::string& socket, const Status& status) {
  if (status.code() == Code::kDeadlineExceeded) {
    return "cryopod-agent hangs: " + status.message();
  }
  return PathExists(socket) ? "nobody answers at " + socket + ": cryopod-agent does not run"
                            : "there is no socket " + socket + ": cryopod-agent does not run";
}

// With the agent's own configuration, so that what is looked at is what it would use.
std::vector<Requirement> LookWithoutAgent(const NodeCheckOptions& options, const Status& status) {
  settings::AgentSettings settings;
  const Status read =
      settings::ReadSettingsFile(settings::AgentProgram(settings, ""), options.config_file);
  if (settings.libexec_dir.empty()) settings.libexec_dir = settings::LibexecBesideUs();
  node::Observer observer{.is_agent = false, .agent_problem = WhyNoAnswer(options.socket, status)};
  if (!read.ok() && read.code() != Code::kNotFound) {
    observer.agent_problem += ", and cannot start: " + read.message();
  }
  cri::RuntimeClient runtime(settings.containerd_socket);
  return node::LookAtNode(settings, runtime, observer).requirements;
}

const char* StateText(RequirementState state) {
  if (state == RequirementState::kMet) return "ok";
  return state == RequirementState::kLacking ? "LACKING" : "not seen";
}

}  // namespace

Result<std::vector<Requirement>> CheckNode(api::Client& client, const NodeCheckOptions& options,
                                           Deadline deadline) {
  Result<api::NodeInfo> node = client.DescribeNode(deadline);
  if (node.ok()) return std::move(node->requirements);
  const Code code = node.status().code();
  if (code != Code::kUnavailable && code != Code::kDeadlineExceeded) return node.status();
  if (::geteuid() != 0) {
    return Status(Code::kPermissionDenied,
                  node.status().message() + "; what is wrong, only root can look at");
  }
  return LookWithoutAgent(options, node.status());
}

bool AnyLacking(const std::vector<Requirement>& requirements) {
  return std::any_of(requirements.begin(), requirements.end(), [](const auto& requirement) {
    return requirement.state == RequirementState::kLacking;
  });
}

std::string ToJson(const std::vector<Requirement>& requirements) {
  using nlohmann::ordered_json;
  ordered_json list = ordered_json::array();
  for (const Requirement& requirement : requirements) {
    ordered_json ok = nullptr;
    if (requirement.state != RequirementState::kUnknown) {
      ok = requirement.state == RequirementState::kMet;
    }
    list.push_back({{"requirement", requirement.name},
                    {"ok", ok},
                    {"found", requirement.found},
                    {"reason", requirement.reason},
                    {"remedy", requirement.remedy}});
  }
  return list.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string ToText(const std::vector<Requirement>& requirements) {
  std::vector<std::vector<std::string>> rows = {{"REQUIREMENT", "STATE", "FOUND"}};
  std::string lacking;
  for (const Requirement& requirement : requirements) {
    const bool unknown = requirement.state == RequirementState::kUnknown;
    rows.push_back({requirement.name, StateText(requirement.state),
                    unknown ? requirement.reason : requirement.found});
    if (requirement.state != RequirementState::kLacking) continue;
    lacking += "\n" + terminal::OneLine(requirement.name) +
               " is lacking: " + terminal::OneLine(requirement.reason) +
               "\n  remedy: " + terminal::OneLine(requirement.remedy) + "\n";
  }
  return terminal::FormatTable(rows) + lacking;
}

}  // namespace cryopod::ctl
