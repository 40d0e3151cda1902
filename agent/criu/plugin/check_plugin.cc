#include "agent/criu/plugin/check_plugin.h"

#include <algorithm>
#include <cstdlib>

#include "agent/criu/plugin/plugin_contract.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/subprocess.h"
#include "agent/os/text.h"

namespace cryopod::criu {
namespace {

// CRIU reads one folder: that of its installation, unless it is told another.
// Source: CRIU 4.2, criu/plugin.c (cr_plugin_init), Makefile.install (PLUGINDIR).
std::string PluginsOf(const std::string& criu) {
  const char* const told = std::getenv("CRIU_LIBS_DIR");
  if (told != nullptr) return told;
  std::string prefix = criu;
  for (int up = 0; up < 2; ++up) prefix.resize(std::min(prefix.rfind('/'), prefix.size()));
  return prefix + "/lib/criu";
}

}  // namespace

Status CheckHoldPlugin(const std::string& plugin, const std::string& criu_program,
                       Deadline deadline) {
  if (plugin.empty()) return Status(Code::kFailedPrecondition, "no plugin is named");
  if (!PathExists(plugin)) return Status(Code::kFailedPrecondition, "there is no " + plugin);
  CRYOPOD_ASSIGN_OR_RETURN(const std::string criu, FindProgram(criu_program));
  const std::string others = PluginsOf(criu);
  const Result<std::vector<DirectoryEntry>> entries = ListDirectory(others);
  const auto is_library = [](const DirectoryEntry& entry) { return entry.name.ends_with(".so"); };
  if (entries.ok() && std::ranges::any_of(*entries, is_library)) {
    return Status(Code::kFailedPrecondition, "CRIU has plugins of its own in " + others);
  }
  SpawnOptions options;
  options.argv = {criu, "--version"};
  options.environment = {"LD_PRELOAD=" + plugin, std::string(kPluginProbe) + "=1"};
  options.inherit_environment = true;
  CRYOPOD_ASSIGN_OR_RETURN(const CommandOutput output, RunCommand(options, deadline));
  const std::vector<std::string_view> lines = SplitLines(output.text);
  if (std::ranges::find(lines, kPluginLoaded) != lines.end()) return Status();
  return Status(
      Code::kFailedPrecondition,
      criu + " does not load " + plugin + (lines.empty() ? "" : ": " + Printable(lines[0], 200)));
}

}  // namespace cryopod::criu
