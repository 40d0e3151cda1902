#include "agent/archive/oci/program_record.h"

#include <string_view>
#include <vector>

#include "agent/archive/oci/sha256.h"
#include "agent/os/text.h"

namespace cryopod::archive {
namespace {

constexpr size_t kCommandBytesMax = 256;
constexpr size_t kDirectoryBytesMax = 4096;
constexpr size_t kVariablesMax = 256;
constexpr size_t kNameBytesMax = 128;

bool IsShort(std::string_view text, size_t bytes_max) {
  return text.size() <= bytes_max && Printable(text, bytes_max) == text;
}

// What a kubelet sets anew for each pod (kubernetes, pkg/kubelet/envvars: WEB_SERVICE_HOST,
// WEB_SERVICE_PORT_HTTP, WEB_PORT, WEB_PORT_80_TCP_ADDR), and the runtime (HOSTNAME).
bool DiffersInEveryPod(std::string_view name) {
  return name == "HOSTNAME" || name.find("_SERVICE_") != name.npos || name.ends_with("_PORT") ||
         name.find("_PORT_") != name.npos;
}

// With the length before each, so that no two lists look alike.
std::string DigestOfAll(const std::vector<std::string>& arguments) {
  std::string bytes;
  for (const std::string& argument : arguments) {
    bytes += std::to_string(argument.size()) + ":" + argument;
  }
  return DigestOf(bytes);
}

}  // namespace

void Describe(json::Fields& fields, ProgramRecord& program) {
  fields.Optional("command", program.command, json::Text);
  fields.Optional("commandDigest", program.command_digest, json::Text);
  fields.Optional("workingDirectory", program.working_directory, json::Text);
  fields.Optional("environment", program.environment, json::Text);
  fields.Optional("runtimeFilter", program.runtime_filter);
  fields.AtMost("environment", program.environment.size(), kVariablesMax);
  for (const auto& [name, digest] : program.environment) {
    if (!IsShort(name, kNameBytesMax)) fields.Fail("environment", "a name that is none");
  }
}

ProgramRecord DescribeProgram(const json::Value& config) {
  const json::Value& process = config.At("process");
  ProgramRecord program;
  const std::vector<std::string> arguments = process.At("args").Texts();
  if (!arguments.empty()) {
    program.command = Printable(Join(arguments, " "), kCommandBytesMax);
    program.command_digest = DigestOfAll(arguments);
  }
  program.working_directory = process.At("cwd").Text();
  if (!IsShort(program.working_directory, kDirectoryBytesMax)) program.working_directory.clear();
  for (const std::string& variable : process.At("env").Texts()) {
    const size_t equals = variable.find('=');
    const std::string name = variable.substr(0, equals);
    if (equals == variable.npos || DiffersInEveryPod(name) || !IsShort(name, kNameBytesMax))
      continue;
    if (program.environment.size() >= kVariablesMax) break;
    program.environment[name] = DigestOf(variable.substr(equals + 1));
  }
  program.runtime_filter = !config.At("linux").At("seccomp").Members().empty();
  return program;
}

}  // namespace cryopod::archive
