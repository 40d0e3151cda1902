#include "agent/ctl/install/node_uninstall.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "agent/api/client.h"
#include "agent/ctl/install/installation.h"
#include "agent/ctl/install/system_programs.h"
#include "agent/ctl/install/undo_change.h"
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

constexpr seconds kAnswerTimeout{10};
constexpr seconds kAgentEndTimeout{30};
constexpr char kHandler[] = "cryopod";

size_t CountEntries(const std::string& directory) {
  const Result<std::vector<DirectoryEntry>> entries = ListDirectory(directory);
  return entries.ok() ? entries->size() : 0;
}

// Nobody repairs them once the agent is gone.
Status CheckJobs(const NodePaths& paths) {
  const size_t jobs = CountEntries(paths.run_dir + "/jobs");
  if (jobs == 0) return Status();
  return Status(Code::kUnavailable, std::to_string(jobs) + " operations are left in " +
                                        paths.run_dir +
                                        "/jobs without an agent; start it, so that it ends or "
                                        "repairs them, and try again");
}

Status CheckOperations(const NodePaths& paths) {
  api::Client agent(paths.agent_socket());
  const Result<api::Listing> listing = agent.List("", Deadline::After(kAnswerTimeout));
  if (listing.ok() && !listing->operations.empty()) {
    std::vector<std::string> names;
    for (const api::Operation& operation : listing->operations) {
      names.push_back(operation.kind + " of " + operation.pod);
    }
    return Status(Code::kAborted, "operations run: " + terminal::Join(names));
  }
  return listing.ok() ? Status() : CheckJobs(paths);
}

// Their shims call cryopod-runtime by its path until they are gone.
void WarnOfPods(const NodePaths& paths, ChangeReport& report) {
  cri::RuntimeClient runtime(paths.containerd_socket);
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
      ConnectUnix(paths.agent_socket(), Deadline::After(kAnswerTimeout));
  if (!socket.ok()) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(const PeerCredentials peer, ReadPeerCredentials(socket->get()));
  const Result<UniqueFd> process = OpenPidfd(peer.pid);
  if (!process.ok()) return Status();
  const Result<std::string> program = ReadProcLink(peer.pid, "exe");
  const std::string name = "process " + std::to_string(peer.pid);
  // A program that was installed anew under a running agent is "… (deleted)".
  if (!program.ok() || program->find("/cryopod-agent") == std::string::npos) {
    return Status(Code::kFailedPrecondition, name + " answers at " + paths.agent_socket() +
                                                 " and is no cryopod-agent; end it");
  }
  if (::kill(peer.pid, SIGTERM) != 0 && errno != ESRCH) return ErrnoStatus(errno, "kill", name);
  if (!PidfdEnded(process->get(), Deadline::After(kAgentEndTimeout))) {
    return Status(Code::kDeadlineExceeded, "cryopod-agent, " + name + ", does not end");
  }
  report.Did("ended cryopod-agent, " + name);
  return Status();
}

Status StopServices(const NodePaths& paths, const Installation& installation,
                    ChangeReport& report) {
  for (const Change& change : installation.changes) {
    // One that was recorded and never written is none that systemd knows.
    if (change.kind != ChangeKind::kUnit || !PathExists(paths.unit_dir + "/" + change.subject)) {
      continue;
    }
    CRYOPOD_RETURN_IF_ERROR(RunProgram({"systemctl", "stop", change.subject}));
  }
  CRYOPOD_RETURN_IF_ERROR(EndAgent(paths, report));
  // One that began after it was asked.
  return CheckJobs(paths);
}

// The directory may be a mount, which stays.
Status RemoveContent(const std::string& directory) {
  const Result<std::vector<DirectoryEntry>> entries = ListDirectory(directory);
  if (!entries.ok()) {
    return entries.status().code() == Code::kNotFound ? Status() : entries.status();
  }
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(directory));
  for (const DirectoryEntry& entry : *entries) {
    CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(dir.get(), entry.name).While("removing " + directory));
  }
  ::rmdir(directory.c_str());
  return Status();
}

Status RemoveState(const NodePaths& paths, bool purge, ChangeReport& report) {
  CRYOPOD_RETURN_IF_ERROR(RemoveContent(paths.run_dir));
  if (!PathExists(paths.state_dir)) return Status();
  if (purge) {
    CRYOPOD_RETURN_IF_ERROR(RemoveContent(paths.state_dir));
    report.Did("removed " + paths.state_dir + " with archives, consumed records and logs");
    return Status();
  }
  // Empty ones only.
  for (const char* name :
       {"/archives/.partial", "/archives", "/consumed", "/logs", "/scratch", "/staging", ""}) {
    ::rmdir((paths.state_dir + name).c_str());
  }
  if (CountEntries(paths.state_dir) > 0) {
    report.Leave("archives, consumed records and logs are kept in " + paths.state_dir +
                 "; `cryopodctl node uninstall --purge` removes them");
  }
  return Status();
}

Status RestartContainerd(const NodePaths& paths, bool restart, ChangeReport& report) {
  if (restart && PathExists(paths.systemd_mark) &&
      RunProgram({"systemctl", "--quiet", "is-active", "containerd.service"}).ok()) {
    CRYOPOD_RETURN_IF_ERROR(RunProgram({"systemctl", "restart", "containerd.service"}));
    report.Did("restarted containerd");
    return Status();
  }
  report.Leave("restart containerd, so that it forgets the handler cryopod");
  return Status();
}

bool Has(const Installation& installation, ChangeKind kind) {
  for (const Change& change : installation.changes) {
    if (change.kind == kind) return true;
  }
  return false;
}

}  // namespace

Status UndoChanges(const NodePaths& paths, ChangeReport& report) {
  CRYOPOD_ASSIGN_OR_RETURN(std::optional<Installation> installation,
                           ReadInstallation(paths.record_file()));
  if (!installation) return Status();
  const bool had_units = Has(*installation, ChangeKind::kUnit);
  while (!installation->changes.empty()) {
    CRYOPOD_RETURN_IF_ERROR(UndoChange(paths, installation->changes.back(), report));
    installation->changes.pop_back();
    CRYOPOD_RETURN_IF_ERROR(WriteInstallation(paths.record_file(), *installation));
  }
  if (had_units) CRYOPOD_RETURN_IF_ERROR(RunProgram({"systemctl", "daemon-reload"}));
  CRYOPOD_RETURN_IF_ERROR(RemoveTree(paths.copies_dir()));
  CRYOPOD_RETURN_IF_ERROR(RemoveTree(paths.record_file()));
  ::rmdir(paths.state_dir.c_str());  // unless it holds more
  return Status();
}

Status UninstallNode(const NodePaths& paths, const UninstallOptions& options,
                     ChangeReport& report) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::optional<Installation> installation,
                           ReadInstallation(paths.record_file()));
  if (!installation && !options.purge) {
    return report.Finish("No installation is recorded in " + paths.record_file() +
                         "; there is nothing to undo.");
  }
  CRYOPOD_RETURN_IF_ERROR(CheckOperations(paths));
  if (installation && Has(*installation, ChangeKind::kImport)) WarnOfPods(paths, report);
  CRYOPOD_RETURN_IF_ERROR(StopServices(paths, installation.value_or(Installation()), report));
  CRYOPOD_RETURN_IF_ERROR(UndoChanges(paths, report));
  CRYOPOD_RETURN_IF_ERROR(RemoveState(paths, options.purge, report));
  if (installation && Has(*installation, ChangeKind::kImport)) {
    CRYOPOD_RETURN_IF_ERROR(RestartContainerd(paths, options.restart, report));
  }
  return report.Finish("There was nothing to remove.");
}

}  // namespace cryopod::ctl
