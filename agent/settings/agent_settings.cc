#include "agent/settings/agent_settings.h"

#include <filesystem>
#include <system_error>

namespace cryopod::settings {
namespace {

// sun_path holds 108 bytes with its end, and job directories hold a socket of their own.
constexpr size_t kRunDirBytesMax = 60;
constexpr uint32_t kTimeoutSecondsMax = 86'400;
constexpr uint32_t kHoldMsMax = 60'000;
constexpr uint32_t kFreezeBudgetMsMax = 60'000;

}  // namespace

Program AgentProgram(AgentSettings& settings, const std::string& version) {
  const Check path = AbsolutePath();
  const Check seconds = Between(1, kTimeoutSecondsMax);
  return {
      "cryopod-agent",
      "cryopod-agent: checkpoints and restores the pods of this node",
      version,
      "agent",
      {{"run_dir", &settings.run_dir, "path", "sockets and running operations",
        AbsolutePath(kRunDirBytesMax)},
       {"state_dir", &settings.state_dir, "path", "archives, consumed records, logs", path},
       {"containerd_socket", &settings.containerd_socket, "path", "CRI socket of the runtime",
        path},
       {"runtime_root", &settings.runtime_root, "path", "where runc keeps its containers' state",
        path},
       {"criu", &settings.criu_program, "program", "CRIU, a path or a name in PATH", NotEmpty()},
       {"libexec_dir", &settings.libexec_dir, "path",
        "cryopod's inner programs; empty: ../libexec/cryopod beside the program", PathOrEmpty()},
       {"checkpoint_timeout", &settings.checkpoint_timeout_s, "seconds",
        "what a checkpoint may take when the caller names no time", seconds},
       {"freeze_budget", &settings.freeze_budget_ms, "milliseconds",
        "what a pod may stand still in further tries of a checkpoint, after a first that came to "
        "nothing because something was started in it meanwhile; 0: there is one try",
        Between(0, kFreezeBudgetMsMax)},
       {"restore_timeout", &settings.restore_timeout_s, "seconds",
        "what a restore may take when the caller names no time", seconds},
       {"restore_idle_timeout", &settings.restore_idle_timeout_s, "seconds",
        "after which a staged restore that nobody asks for is dropped", seconds},
       {"restore_hold", &settings.restore_hold_ms, "milliseconds",
        "what a restored container waits for its pod's others at the most", Between(0, kHoldMsMax)},
       {"restore_namespaces", &settings.restore_namespaces, "FROM:TO ...",
        "pods of namespace TO may be restored from archives of namespace FROM, too; empty: each "
        "namespace from its own alone",
        NamespacePairs()},
       {"import_without_landlock", &settings.import_without_landlock, "true or false",
        "take in archives of other nodes, and restore them, also on a kernel without Landlock, "
        "where less confines the program that reads them"},
       {"reader_group", &settings.reader_group, "group",
        "who may list archives and ask for the node's state and for metrics", NotEmpty()},
       {"log_level", &settings.log_level, "level",
        "debug (CRIU, too, then logs all that it does), info, warning or error; SIGHUP reads it "
        "again while the agent runs",
        OneOf({"debug", "info", "warning", "error"})}}};
}

std::map<std::string, std::string> SharedWithRuntime(const AgentSettings& settings) {
  return {{"agent_socket", settings.runtime_socket()}, {"state_dir", settings.state_dir}};
}

std::string LibexecBesideUs() {
  std::error_code unreadable;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", unreadable);
  return self.empty() ? "" : self.parent_path().parent_path() / "libexec/cryopod";
}

}  // namespace cryopod::settings
