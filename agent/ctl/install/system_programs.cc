#include "agent/ctl/install/system_programs.h"

#include <chrono>

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
  std::string words = output.text.substr(0, output.text.find_last_not_of(" \n") + 1);
  if (words.size() > kLastWordsBytesMax) words.erase(0, words.size() - kLastWordsBytesMax);
  return Status(Code::kFailedPrecondition, "`" + terminal::Join(argv, " ") +
                                               "`: " + output.status.Describe() + ": " +
                                               terminal::OneLine(words));
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

}  // namespace cryopod::ctl
