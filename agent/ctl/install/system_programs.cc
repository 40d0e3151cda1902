#include "agent/ctl/install/system_programs.h"

#include <chrono>

#include "agent/os/file.h"
#include "agent/os/subprocess.h"
#include "agent/terminal/text.h"

namespace cryopod::ctl {
namespace {

constexpr std::chrono::minutes kTimeout{2};
constexpr size_t kLastWordsBytesMax = 500;
// getent(1): one or more keys could not be found.
constexpr int kNoEntry = 2;

Result<CommandOutput> Run(const std::vector<std::string>& argv) {
  SpawnOptions options;
  options.argv = argv;
  options.inherit_environment = true;
  options.environment = {"LC_ALL=C"};
  return RunCommand(std::move(options), Deadline::After(kTimeout));
}

Status Failure(const std::vector<std::string>& argv, const CommandOutput& output) {
  std::string command;
  for (const std::string& word : argv) command += (command.empty() ? "" : " ") + word;
  const size_t end = output.text.find_last_not_of(" \n");
  std::string words = output.text.substr(0, end == std::string::npos ? 0 : end + 1);
  if (words.size() > kLastWordsBytesMax) words.erase(0, words.size() - kLastWordsBytesMax);
  return Status(Code::kFailedPrecondition,
                "`" + command + "`: " + output.status.Describe() + ": " + terminal::OneLine(words));
}

}  // namespace

Result<std::string> ReadProgram(const std::vector<std::string>& argv) {
  CRYOPOD_ASSIGN_OR_RETURN(CommandOutput output, Run(argv));
  if (!output.status.success()) return Failure(argv, output);
  return std::move(output.text);
}

Status RunProgram(const std::vector<std::string>& argv) { return ReadProgram(argv).status(); }

Result<bool> HasEntry(const std::string& database, const std::string& name) {
  const std::vector<std::string> argv = {"getent", database, name};
  CRYOPOD_ASSIGN_OR_RETURN(const CommandOutput output, Run(argv));
  if (output.status.success()) return true;
  if (output.status.exit_code == kNoEntry) return false;
  return Failure(argv, output);
}

Status RestartContainerd(const NodePaths& paths, bool wanted, const std::string& aim,
                         ChangeReport& report) {
  if (!wanted || !PathExists(paths.systemd_mark) ||
      !RunProgram({"systemctl", "--quiet", "is-active", "containerd.service"}).ok()) {
    report.Leave("restart containerd, so that " + aim);
    return Status();
  }
  CRYOPOD_RETURN_IF_ERROR(RunProgram({"systemctl", "restart", "containerd.service"}));
  report.Did("restarted containerd");
  return Status();
}

}  // namespace cryopod::ctl
