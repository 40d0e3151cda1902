#include "agent/ctl/node_check.h"

#include <unistd.h>

#include "agent/node/node_report.h"
#include "agent/os/file.h"
#include "agent/settings/agent_settings.h"

namespace cryopod::ctl {
namespace {

std::string WhyNoAnswer(const std::string& socket, const Status& status) {
  if (status.code() == Code::kDeadlineExceeded) {
    return "cryopod-agent hangs: " + status.message();
  }
  return PathExists(socket) ? "nobody answers at " + socket + ": cryopod-agent does not run"
                            : "there is no socket " + socket + ": cryopod-agent does not run";
}

// With the agent's own configuration, so that what is looked at is what it would use.
std::vector<api::Requirement> LookWithoutAgent(const std::string& socket,
                                               const std::string& config_file,
                                               const Status& status) {
  settings::AgentSettings settings;
  const Status read = settings::ReadSettingsFile(settings::AgentProgram(settings, ""), config_file);
  if (settings.libexec_dir.empty()) settings.libexec_dir = settings::LibexecBesideUs();
  node::Observer observer{.is_agent = false, .agent_problem = WhyNoAnswer(socket, status)};
  if (!read.ok() && read.code() != Code::kNotFound) {
    observer.agent_problem += ", and cannot start: " + read.message();
  }
  cri::RuntimeClient runtime(settings.containerd_socket);
  return node::LookAtNode(settings, runtime, observer).requirements;
}

}  // namespace

Result<std::vector<api::Requirement>> CheckNode(api::Client& client, const std::string& socket,
                                                const std::string& config_file, Deadline deadline) {
  Result<api::NodeInfo> node = client.DescribeNode(deadline);
  if (node.ok()) return std::move(node->requirements);
  const Code code = node.status().code();
  if (code != Code::kUnavailable && code != Code::kDeadlineExceeded) return node.status();
  if (::geteuid() != 0) {
    return Status(Code::kPermissionDenied,
                  node.status().message() + "; what is wrong, only root can look at");
  }
  return LookWithoutAgent(socket, config_file, node.status());
}

}  // namespace cryopod::ctl
