#include "agent/ctl/install/node_install.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/api/client.h"
#include "agent/ctl/install/containerd_config.h"
#include "agent/ctl/install/node_changes.h"
#include "agent/ctl/install/system_programs.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "agent/os/subprocess.h"
#include "agent/os/unix_socket.h"
#include "agent/terminal/text.h"
#include "cri/runtime_client.h"

namespace cryopod::ctl {
namespace {

using std::chrono::seconds;

constexpr size_t kManifestBytesMax = size_t{256} << 10;
constexpr char kSystemUser[] = "cryopod";
constexpr char kAgentUnit[] = "cryopod-agent.service";
constexpr char kGatewayUnit[] = "cryopod-gateway.service";
constexpr char kUsualPrefix[] = "\"/opt/cryopod/";
constexpr char kSystemdCgroup[] = "SystemdCgroup = true";
constexpr seconds kAnswerTimeout{10};
constexpr seconds kAgentEndTimeout{30};
constexpr char kHandler[] = "cryopod";
// What an agent makes in its run_dir and in its state_dir.
constexpr std::array kRunNames = {"agent.lock", "agent.sock", "reader.sock", "runtime.sock",
                                  "jobs"};
constexpr std::array kStateNames = {"archives",   "consumed", "once",   "logs",
                                    "operations", "scratch",  "staging"};

Result<std::string> ReplaceOnce(const std::string& text, std::string_view from,
                                const std::string& to) {
  const size_t at = text.find(from);
  if (at == std::string::npos || text.find(from, at + 1) != std::string::npos) {
    return Status(Code::kInternal, "it does not hold " + std::string(from) + " once");
  }
  return std::string(text).replace(at, from.size(), to);
}

// A unit of share/cryopod, or the drop-in for containerd, with its program in our prefix.
Result<std::string> ReadManifest(const NodePaths& paths, const std::string& name) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile(paths.share_dir() + "/" + name, kManifestBytesMax));
  return ReplaceOnce(text, kUsualPrefix, "\"" + paths.prefix + "/").While(name);
}

// It stands in a unit, in a containerd configuration and in a search path. Blanks are welcome.
Status CheckPrefix(const std::string& prefix) {
  const bool fits = prefix.starts_with('/') && std::ranges::all_of(prefix, [](char byte) {
                      return byte >= 0x20 && byte < 0x7f &&
                             std::string_view("\"\\%$:").find(byte) == std::string_view::npos;
                    });
  if (fits) return Status();
  return Status(
      Code::kInvalidArgument,
      "cryopod lies in \"" + prefix +
          "\"; move it to a folder whose name is printable ASCII without \" \\ % $ and :");
}

// What could be known to fail, before anything is changed.
Status CheckBefore(const NodePaths& paths) {
  CRYOPOD_RETURN_IF_ERROR(CheckPrefix(paths.prefix));
  for (const std::string& program : {paths.agent_program(), paths.runtime_program()}) {
    if (::access(program.c_str(), X_OK) != 0) {
      return Status(Code::kFailedPrecondition,
                    program +
                        " is missing; install the whole of cryopod into one folder, and run "
                        "the cryopodctl in it");
    }
  }
  const Result<std::string> text = ReadFile(paths.containerd_config, kContainerdConfigBytesMax);
  if (text.status().code() == Code::kNotFound) return Status();
  if (!text.ok()) return text.status();
  // Asked for the version: a text that imports the drop-in already gets no second import.
  return AddImport(*text, "/").status().While(paths.containerd_config);
}

// Only what is not its default, of cryopod.toml and of containerd: where the node's pods are run by
// another program than the runc in PATH, so are restored ones.
std::vector<std::string> RuntimeConfLines(const NodePaths& paths, const ContainerdConfig& config) {
  std::vector<std::string> lines;
  if (!config.runtime_program.empty() && config.runtime_program != "runc") {
    lines.push_back("runtime=" + config.runtime_program);
  }
  const auto defaults = settings::SharedWithRuntime({});
  for (const auto& [key, value] : settings::SharedWithRuntime(paths.agent)) {
    if (value != defaults.at(key)) lines.push_back(key + "=" + value);
  }
  return lines;
}

Status ConfigureRuntime(const NodePaths& paths, const ContainerdConfig& config,
                        NodeChanges& changes, ChangeReport& report) {
  const std::vector<std::string> lines = RuntimeConfLines(paths, config);
  const std::string path = paths.runtime_conf();
  const bool is_ours = changes.installation().Find(ChangeKind::kFile, path) != nullptr;
  if (lines.empty() && !is_ours) return Status();
  if (PathExists(path) && !is_ours) {
    report.Warn(path + " is there already; it should hold " + terminal::Join(lines) +
                ", as containerd and " + paths.settings_file() + " have it");
    return Status();
  }
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return changes.Make({ChangeKind::kFile, path, text}).status();
}

// True when containerd has something new to read.
Result<bool> ConfigureContainerd(const NodePaths& paths, NodeChanges& changes,
                                 ChangeReport& report) {
  CRYOPOD_ASSIGN_OR_RETURN(const ContainerdConfig config,
                           ReadContainerdConfig(paths.containerd_config));
  CRYOPOD_ASSIGN_OR_RETURN(std::string drop_in, ReadManifest(paths, "containerd/cryopod.toml"));
  if (config.systemd_cgroup.value_or(false)) {
    CRYOPOD_ASSIGN_OR_RETURN(
        drop_in, ReplaceOnce(drop_in, std::string("# ") + kSystemdCgroup, kSystemdCgroup));
  }
  CRYOPOD_RETURN_IF_ERROR(ConfigureRuntime(paths, config, changes, report));
  // First the drop-in: containerd does not start with an import that is absent.
  CRYOPOD_ASSIGN_OR_RETURN(const bool wrote,
                           changes.Make({ChangeKind::kFile, paths.drop_in(), drop_in}));
  CRYOPOD_ASSIGN_OR_RETURN(
      const bool added,
      changes.Make({ChangeKind::kImport, paths.containerd_config, paths.drop_in()}));
  return wrote || added;
}

// A containerd that does not start is worse than none of our handler: everything is taken back.
Status CheckWithContainerd(const NodePaths& paths, NodeChanges& changes) {
  const Result<std::string> dump =
      ReadProgram({"containerd", "--config", paths.containerd_config, "config", "dump"});
  if (dump.status().code() == Code::kNotFound) return Status();
  if (dump.ok() && dump->find("runtimes.cryopod") != std::string::npos) return Status();
  const Status reason =
      dump.ok() ? Status(Code::kFailedPrecondition,
                         "`containerd config dump` does not show the runtime handler cryopod")
                : dump.status();
  const Status undone = changes.UndoAll();
  return undone.ok() ? reason.While("containerd does not take the drop-in; it was taken back")
                     : undone.While("containerd does not take the drop-in: " + reason.message() +
                                    "; taking it back");
}

Status InstallUnits(const NodePaths& paths, NodeChanges& changes) {
  std::vector<std::string> units = {kAgentUnit};
  if (PathExists(paths.gateway_program())) units.emplace_back(kGatewayUnit);
  bool changed = false;
  for (const std::string& unit : units) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadManifest(paths, "systemd/" + unit));
    CRYOPOD_ASSIGN_OR_RETURN(const bool wrote,
                             changes.Make({ChangeKind::kFile, paths.unit_dir + "/" + unit, text}));
    changed = changed || wrote;
  }
  if (changed) CRYOPOD_RETURN_IF_ERROR(RunProgram({"systemctl", "daemon-reload"}));
  for (const std::string& unit : units) {
    CRYOPOD_RETURN_IF_ERROR(changes.Make({ChangeKind::kUnit, unit}, changed).status());
  }
  return Status();
}

// Where systemd runs it, unless it shall not; elsewhere it is left to the person, so that `aim`.
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

void LeaveTheRest(const NodePaths& paths, ChangeReport& report) {
  if (!PathExists(paths.systemd_mark) &&
      !ConnectUnix(paths.agent.agent_socket(), Deadline::After(seconds(1))).ok()) {
    report.Leave("start the agent, as root: '" + paths.agent_program() +
                 "' (systemd does not run here, so no unit was installed)");
  }
  report.Leave("see what the node still lacks: '" + paths.prefix + "/bin/cryopodctl' node check");
  report.Leave("with Kubernetes, once a cluster: kubectl apply -f '" + paths.share_dir() +
               "/runtimeclass.yaml'");
}

size_t CountEntries(const std::string& directory) {
  const Result<std::vector<DirectoryEntry>> entries = ListDirectory(directory);
  return entries.ok() ? entries->size() : 0;
}

// Every operation has a folder here, also one that no list of the agent holds because a kubelet
// drives it. Nobody repairs what is left once the agent is gone.
Status CheckJobs(const NodePaths& paths, bool agent_answers) {
  const size_t jobs = CountEntries(paths.agent.jobs_dir());
  if (jobs == 0) return Status();
  const std::string left =
      std::to_string(jobs) + " operations are left in " + paths.agent.jobs_dir();
  if (agent_answers) {
    return Status(Code::kAborted, left + "; wait until they have ended, and try again");
  }
  return Status(Code::kUnavailable, left +
                                        " without an agent; start it, so that it ends or repairs "
                                        "them, and try again");
}

Status CheckOperations(const NodePaths& paths) {
  api::Client agent(paths.agent.agent_socket());
  const Result<api::Listing> listing = agent.List("", Deadline::After(kAnswerTimeout));
  std::vector<std::string> names;
  if (listing.ok()) {
    for (const api::Operation& operation : listing->operations) {
      names.push_back(operation.kind + " of " + operation.pod);
    }
  }
  if (names.empty()) return CheckJobs(paths, listing.ok());
  return Status(Code::kAborted, "operations run: " + terminal::Join(names));
}

// Their shims call cryopod-runtime by its path until they are gone.
void WarnOfPods(const NodePaths& paths, ChangeReport& report) {
  cri::RuntimeClient runtime(paths.agent.containerd_socket);
  const Result<std::vector<cri::PodSandbox>> pods =
      runtime.ListPodSandboxes(Deadline::After(kAnswerTimeout));
  if (!pods.ok()) {
    report.Warn("whether pods of the handler cryopod run is not known: " + pods.status().message());
    return;
  }
  std::vector<std::string> names;
  for (const cri::PodSandbox& pod : *pods) {
    if (pod.runtime_handler == kHandler) names.push_back(pod.namespace_ + "/" + pod.name);
  }
  if (names.empty()) return;
  report.Warn("pods of the handler cryopod are still there: " + terminal::Join(names) +
              "; they run on, but until they are removed containerd needs " +
              paths.runtime_program());
}

// One that was started by hand; units have been stopped by now.
Status EndAgent(const NodePaths& paths, ChangeReport& report) {
  const Result<UniqueFd> socket =
      ConnectUnix(paths.agent.agent_socket(), Deadline::After(kAnswerTimeout));
  if (!socket.ok()) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(const pid_t pid, ReadPeerPid(socket->get()));
  const Result<UniqueFd> process = OpenPidfd(pid);
  if (!process.ok()) return Status();
  const Result<std::string> program = ReadProcLink(pid, "exe");
  const std::string name = "process " + std::to_string(pid);
  // A program that was installed anew under a running agent is "… (deleted)".
  if (!program.ok() || program->find("/cryopod-agent") == std::string::npos) {
    return Status(Code::kFailedPrecondition, name + " answers at " + paths.agent.agent_socket() +
                                                 " and is no cryopod-agent; end it");
  }
  if (::kill(pid, SIGTERM) != 0 && errno != ESRCH) return ErrnoStatus(errno, "kill", name);
  if (!PidfdEnded(process->get(), Deadline::After(kAgentEndTimeout))) {
    return Status(Code::kDeadlineExceeded, "cryopod-agent, " + name + ", does not end");
  }
  report.Did("ended cryopod-agent, " + name);
  return Status();
}

// Of the units that systemd knows; one that was recorded may not have been written.
Status CallSystemd(const std::string& verb, const NodePaths& paths,
                   const Installation& installation) {
  for (const Change& change : installation.changes) {
    if (change.kind != ChangeKind::kUnit || !PathExists(paths.unit_dir + "/" + change.subject)) {
      continue;
    }
    CRYOPOD_RETURN_IF_ERROR(RunProgram({"systemctl", verb, change.subject}));
  }
  return Status();
}

Status StopServices(const NodePaths& paths, const Installation& installation,
                    ChangeReport& report) {
  CRYOPOD_RETURN_IF_ERROR(CallSystemd("stop", paths, installation));
  CRYOPOD_RETURN_IF_ERROR(EndAgent(paths, report));
  // One that began after it was asked.
  const Status left = CheckJobs(paths, /*agent_answers=*/false);
  if (!left.ok()) CRYOPOD_RETURN_IF_ERROR(CallSystemd("start", paths, installation));
  return left;
}

// By name: the folder may be a mount, which stays, or hold what is not ours.
Status RemoveNames(const std::string& directory, std::span<const char* const> names) {
  const Result<UniqueFd> dir = OpenDirectory(directory);
  if (!dir.ok()) return dir.status().code() == Code::kNotFound ? Status() : dir.status();
  for (const char* const name : names) {
    CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(dir->get(), name).While("removing " + directory));
  }
  ::rmdir(directory.c_str());
  return Status();
}

Status RemoveState(const NodePaths& paths, bool purge, ChangeReport& report) {
  const std::string& state = paths.agent.state_dir;
  CRYOPOD_RETURN_IF_ERROR(RemoveNames(paths.agent.run_dir, kRunNames));
  if (!PathExists(state)) return Status();
  if (purge) {
    CRYOPOD_RETURN_IF_ERROR(RemoveNames(state, kStateNames));
    report.Did("removed " + state + " with archives, consumed records, operations and logs");
    return Status();
  }
  // Empty ones only.
  ::rmdir((state + "/archives/.partial").c_str());
  for (const char* const name : kStateNames) ::rmdir((state + "/" + name).c_str());
  ::rmdir(state.c_str());
  if (CountEntries(state) > 0) {
    report.Leave("archives, consumed records, operations and logs are kept in " + state +
                 "; `cryopodctl node uninstall --purge` removes them");
  }
  return Status();
}

}  // namespace

Status InstallNode(NodePaths paths, const InstallOptions& options, ChangeReport& report) {
  CRYOPOD_RETURN_IF_ERROR(CheckBefore(paths));
  CRYOPOD_RETURN_IF_ERROR(ReadAgentSettings(paths));
  CRYOPOD_ASSIGN_OR_RETURN(NodeChanges changes, NodeChanges::Open(paths, report));
  CRYOPOD_RETURN_IF_ERROR(changes.Make({ChangeKind::kGroup, kSystemUser}).status());
  CRYOPOD_RETURN_IF_ERROR(changes.Make({ChangeKind::kUser, kSystemUser}).status());
  CRYOPOD_ASSIGN_OR_RETURN(const bool changed, ConfigureContainerd(paths, changes, report));
  if (changed) {
    CRYOPOD_RETURN_IF_ERROR(CheckWithContainerd(paths, changes));
    CRYOPOD_RETURN_IF_ERROR(RestartContainerd(
        paths, options.restart,
        "it reads " + paths.containerd_config + "; pods that run are not touched by that", report));
  }
  if (PathExists(paths.systemd_mark)) CRYOPOD_RETURN_IF_ERROR(InstallUnits(paths, changes));
  LeaveTheRest(paths, report);
  return report.Finish("This node is installed already; nothing had to be changed.");
}

Status UninstallNode(NodePaths paths, const InstallOptions& options, ChangeReport& report) {
  CRYOPOD_ASSIGN_OR_RETURN(NodeChanges changes, NodeChanges::Open(paths, report));
  if (!changes.recorded() && !options.purge) {
    return report.Finish("No installation is recorded in " + paths.record_file() +
                         "; there is nothing to undo.");
  }
  CRYOPOD_RETURN_IF_ERROR(ReadAgentSettings(paths));
  CRYOPOD_RETURN_IF_ERROR(CheckOperations(paths));
  const bool has_handler = changes.installation().Has(ChangeKind::kImport);
  if (has_handler) WarnOfPods(paths, report);
  CRYOPOD_RETURN_IF_ERROR(StopServices(paths, changes.installation(), report));
  CRYOPOD_RETURN_IF_ERROR(changes.UndoAll());
  CRYOPOD_RETURN_IF_ERROR(RemoveState(paths, options.purge, report));
  if (has_handler) {
    CRYOPOD_RETURN_IF_ERROR(
        RestartContainerd(paths, options.restart, "it forgets the handler cryopod", report));
  }
  return report.Finish("There was nothing to remove.");
}

}  // namespace cryopod::ctl
