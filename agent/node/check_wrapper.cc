#include <string_view>
#include <utility>

#include "agent/node/checks.h"
#include "agent/os/subprocess.h"
#include "agent/os/text.h"
#include "restore/runtime/protocol/self_check_command.h"

namespace cryopod::node {
namespace {

constexpr std::pair<int, int> kRuncMin{1, 1};
constexpr char kRuntimeConf[] = "name it in /etc/cryopod/runtime.conf (runtime=/usr/sbin/runc)";

Result<std::string> Run(std::vector<std::string> argv, Deadline deadline) {
  SpawnOptions options;
  options.argv = std::move(argv);
  options.inherit_environment = true;
  const std::string program = options.argv.front();
  CRYOPOD_ASSIGN_OR_RETURN(CommandOutput output, RunCommand(std::move(options), deadline));
  if (output.status.success()) return std::move(output.text);
  return Status(Code::kFailedPrecondition, program + " ended with " + output.status.Describe());
}

Finding NoWrapper(const std::string& program, const std::string& why) {
  return Finding::Lacking(program, "handler \"cryopod\" runs " + program + ": " + why,
                          "set BinaryName to bin/cryopod-runtime of this installation "
                          "(`cryopodctl node install` does), and restart containerd");
}

// The version in "runc version 1.3.6".
std::string RuncVersion(std::string_view output) {
  const std::vector<std::string_view> words = SplitWords(output);
  const bool is_runc = words.size() >= 3 && words[0] == "runc" && words[1] == "version";
  return is_runc ? std::string(words[2]) : "";
}

}  // namespace

WrapperAnswer AskWrapper(const cri::RuntimeConfiguration& configuration, Deadline deadline) {
  const auto handler = configuration.handlers.find(kHandler);
  if (!configuration.shown || handler == configuration.handlers.end()) {
    return {Finding::Met("not told"), {}};
  }
  const std::string& program = handler->second.program;
  if (program.empty()) return {NoWrapper("runc", "BinaryName is not set"), {}};
  const Result<std::string> said = Run({program, wrapper::kSelfCheckCommand}, deadline);
  if (said.status().code() == Code::kNotFound) {
    return {NoWrapper(program, "there is no such program"), {}};
  }
  const Result<wrapper::KeyValues> values =
      said.ok() ? wrapper::ParseKeyValues(*said) : Result<wrapper::KeyValues>(said.status());
  if (!values.ok() || wrapper::Get(*values, "program") != wrapper::kWrapperName) {
    return {NoWrapper(program, "it is not cryopod-runtime"), {}};
  }
  return {Finding::Met(program + " " + wrapper::Get(*values, "version")), *values};
}

Finding CheckOciRuntime(const wrapper::KeyValues& values, const settings::AgentSettings& settings,
                        Deadline deadline) {
  if (values.empty()) return Finding::Met("not told");
  const std::string problem = wrapper::Get(values, "problem");
  if (!problem.empty()) {
    return Finding::Lacking("", "cryopod-runtime cannot work: " + problem, kRuntimeConf);
  }
  const std::string runc = wrapper::Get(values, "runtime");
  const Result<std::string> said = Run({runc, "--version"}, deadline);
  const std::string version = said.ok() ? RuncVersion(*said) : "";
  if (version.empty() || (MajorMinor(version) < kRuncMin)) {
    const std::string why = !said.ok()        ? said.status().message()
                            : version.empty() ? runc + " is not runc"
                                              : "runc " + version + " is too old";
    return Finding::Lacking(version, why,
                            std::string("install runc 1.1 or newer, and ") + kRuntimeConf);
  }
  for (const auto& [key, value] : settings::SharedWithRuntime(settings)) {
    const std::string other = wrapper::Get(values, key);
    if (other == value) continue;
    return Finding::Lacking(
        other, "cryopod-runtime works with " + key + "=" + other + ", the agent with " + value,
        "run `cryopodctl node install` again, or name " + key + "=" + value +
            " in /etc/cryopod/runtime.conf");
  }
  return Finding::Met("runc " + version + " at " + runc);
}

}  // namespace cryopod::node
