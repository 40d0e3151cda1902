#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/os/subprocess.h"
#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {

// The path of a program of this machine.
inline std::optional<std::string> FindProgram(const std::string& name) {
  for (const char* dir : {"/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin"}) {
    const std::string path = std::string(dir) + "/" + name;
    if (std::filesystem::exists(path)) return path;
  }
  return std::nullopt;
}

// Runs it to its end; what it printed, also when it failed.
inline CommandOutput RunTool(const std::vector<std::string>& argv) {
  SpawnOptions options;
  options.argv = argv;
  options.inherit_environment = true;
  Result<CommandOutput> output = RunCommand(options, Soon());
  if (output.ok()) return *output;
  ADD_FAILURE() << argv[0] << ": " << output.status().message();
  return CommandOutput{};
}

}  // namespace cryopod::archive::test
