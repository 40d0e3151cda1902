#include "agent/ctl/install/node_install.h"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "agent/ctl/install/change_log.h"
#include "agent/ctl/install/containerd_config.h"
#include "agent/ctl/install/manifest_text.h"
#include "agent/ctl/install/node_uninstall.h"
#include "agent/ctl/install/system_programs.h"
#include "agent/os/file.h"
#include "agent/os/unix_socket.h"

namespace cryopod::ctl {
namespace {

constexpr size_t kManifestBytesMax = size_t{256} << 10;
constexpr char kAgentUnit[] = "cryopod-agent.service";
constexpr char kGatewayUnit[] = "cryopod-gateway.service";

class Installer {
 public:
  Installer(const NodePaths& paths, const InstallOptions& options, ChangeReport& report,
            ChangeLog& log)
      : paths_(paths), options_(options), report_(report), log_(log) {}

  Status Install() {
    CRYOPOD_RETURN_IF_ERROR(log_.MakeSystemUser(kSystemUser));
    CRYOPOD_ASSIGN_OR_RETURN(bool changed, ConfigureContainerd());
    if (changed) CRYOPOD_RETURN_IF_ERROR(CheckWithContainerd());
    const bool has_systemd = PathExists(paths_.systemd_mark);
    if (changed) CRYOPOD_RETURN_IF_ERROR(RestartContainerd(has_systemd));
    if (has_systemd) CRYOPOD_RETURN_IF_ERROR(InstallUnits());
    if (!has_systemd && !AgentAnswers()) {
      report_.Leave("start the agent, as root: '" + paths_.agent_program() +
                    "' (systemd does not "
                    "run here, so no unit was installed)");
    }
    report_.Leave("see what the node still lacks: '" + paths_.prefix +
                  "/bin/cryopodctl' node check");
    report_.Leave("with Kubernetes, once a cluster: kubectl apply -f '" + paths_.share_dir() +
                  "/runtimeclass.yaml'");
    return Status();
  }

 private:
  std::string drop_in_path() const {
    return std::filesystem::path(paths_.containerd_config).parent_path() / "conf.d/cryopod.toml";
  }

  Result<bool> ConfigureContainerd() {
    CRYOPOD_ASSIGN_OR_RETURN(const ContainerdConfig config,
                             ReadContainerdConfig(paths_.containerd_config));
    CRYOPOD_ASSIGN_OR_RETURN(
        const std::string manifest,
        ReadFile(paths_.share_dir() + "/containerd/cryopod.toml", kManifestBytesMax));
    CRYOPOD_ASSIGN_OR_RETURN(
        const std::string drop_in,
        DropInFor(manifest, paths_.prefix, config.systemd_cgroup.value_or(false)));
    if (!config.runtime_program.empty() && config.runtime_program != "runc") {
      CRYOPOD_RETURN_IF_ERROR(PassOnTo(config.runtime_program));
    }
    // First the drop-in: containerd does not start with an import that is absent.
    CRYOPOD_ASSIGN_OR_RETURN(const bool wrote, log_.WriteFile(drop_in_path(), drop_in));
    CRYOPOD_ASSIGN_OR_RETURN(const bool added,
                             log_.Import(paths_.containerd_config, drop_in_path()));
    return wrote || added;
  }

  bool AgentAnswers() const {
    return ConnectUnix(paths_.agent_socket(), Deadline::After(std::chrono::seconds(1))).ok();
  }

  // Where the node's pods are run by another program than the runc in PATH, so are restored ones.
  Status PassOnTo(const std::string& program) {
    const std::string path = paths_.etc_dir + "/runtime.conf";
    if (PathExists(path) && log_.installation().Find(ChangeKind::kFile, path) == nullptr) {
      report_.Warn(path + " is there already; `runtime` in it should be " + program +
                   ", as containerd has it");
      return Status();
    }
    return log_.WriteFile(path, "runtime=" + program + "\n").status();
  }

  // A containerd that does not start is worse than none of our handler: everything is taken back.
  Status CheckWithContainerd() {
    const Result<std::string> dump =
        ReadProgram({"containerd", "--config", paths_.containerd_config, "config", "dump"});
    if (dump.status().code() == Code::kNotFound) return Status();
    if (dump.ok() && dump->find("runtimes.cryopod") != std::string::npos) return Status();
    const Status reason =
        dump.ok() ? Status(Code::kFailedPrecondition,
                           "`containerd config dump` does not show the runtime handler cryopod")
                  : dump.status();
    const Status undone = UndoChanges(paths_, report_);
    return undone.ok() ? reason.While("containerd does not take the drop-in; it was taken back")
                       : undone.While("containerd does not take the drop-in: " + reason.message() +
                                      "; taking it back");
  }

  Status RestartContainerd(bool has_systemd) {
    const bool can = options_.restart && has_systemd &&
                     RunProgram({"systemctl", "--quiet", "is-active", "containerd.service"}).ok();
    if (!can) {
      report_.Leave("restart containerd, so that it reads " + paths_.containerd_config +
                    "; pods that run are not touched by that");
      return Status();
    }
    CRYOPOD_RETURN_IF_ERROR(RunProgram({"systemctl", "restart", "containerd.service"}));
    report_.Did("restarted containerd");
    return Status();
  }

  Status InstallUnits() {
    std::vector<std::string> units = {kAgentUnit};
    if (PathExists(paths_.gateway_program())) units.emplace_back(kGatewayUnit);
    bool changed = false;
    for (const std::string& unit : units) {
      CRYOPOD_ASSIGN_OR_RETURN(
          const std::string manifest,
          ReadFile(paths_.share_dir() + "/systemd/" + unit, kManifestBytesMax));
      CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                               UnitFor(manifest, paths_.prefix).While(unit));
      CRYOPOD_ASSIGN_OR_RETURN(const bool wrote,
                               log_.WriteFile(paths_.unit_dir + "/" + unit, text));
      changed = changed || wrote;
    }
    if (changed) CRYOPOD_RETURN_IF_ERROR(RunProgram({"systemctl", "daemon-reload"}));
    for (const std::string& unit : units) CRYOPOD_RETURN_IF_ERROR(log_.EnableUnit(unit, changed));
    return Status();
  }

  const NodePaths& paths_;
  const InstallOptions& options_;
  ChangeReport& report_;
  ChangeLog& log_;
};

Status CheckInstallation(const NodePaths& paths) {
  CRYOPOD_RETURN_IF_ERROR(CheckPrefix(paths.prefix));
  for (const std::string& program : {paths.agent_program(), paths.runtime_program()}) {
    if (::access(program.c_str(), X_OK) != 0) {
      return Status(Code::kFailedPrecondition,
                    program +
                        " is missing; install the whole of cryopod into one folder, and run "
                        "the cryopodctl in it");
    }
  }
  return Status();
}

// What could be known to fail, before anything is changed.
Status CheckContainerd(const NodePaths& paths) {
  const Result<std::string> text = ReadFile(paths.containerd_config, kContainerdConfigBytesMax);
  if (text.status().code() == Code::kNotFound) return Status();
  if (!text.ok()) return text.status();
  // Asked for the version: a text that imports the drop-in already gets no second import.
  return AddImport(*text, "/").status().While(paths.containerd_config);
}

}  // namespace

Status InstallNode(const NodePaths& paths, const InstallOptions& options, ChangeReport& report) {
  CRYOPOD_RETURN_IF_ERROR(CheckInstallation(paths));
  CRYOPOD_RETURN_IF_ERROR(CheckContainerd(paths));
  CRYOPOD_ASSIGN_OR_RETURN(ChangeLog log, ChangeLog::Open(paths, report));
  CRYOPOD_RETURN_IF_ERROR(Installer(paths, options, report, log).Install());
  return report.Finish("This node is installed already; nothing had to be changed.");
}

}  // namespace cryopod::ctl
