#include "restore/restore_container.h"

#include <fcntl.h>

#include <utility>

#include "agent/criu/criu_log.h"
#include "agent/jobs/job_file.h"
#include "agent/jobs/kept_logs.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/namespaces.h"

namespace cryopod::restore {
namespace {

constexpr char kOptionsFile[] = "criu.conf";
// leave-stopped: SIGSTOP is the last thing that CRIU does to a process, so none has run when the
// runtime reports success. tcp-close: the addresses of the new pod are others. Neither is set by
// the runtime's request, which would outrank this file.
constexpr char kOptions[] = "leave-stopped\ntcp-close\n";

}  // namespace

Result<wrapper::Plan> PrepareAttempt(const std::string& job_dir, const std::string& operation_id,
                                     const std::string& images_dir, const std::string& container,
                                     int attempt) {
  wrapper::Plan plan;
  plan.operation_id = operation_id;
  plan.images_dir = images_dir;
  plan.work_dir =
      job_dir + "/" + jobs::kAttemptsDirectory + "/" + container + "-" + std::to_string(attempt);
  plan.criu_config_file = plan.work_dir + "/" + kOptionsFile;
  CRYOPOD_RETURN_IF_ERROR(RemoveTree(plan.work_dir));
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(plan.work_dir));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(plan.work_dir));
  CRYOPOD_RETURN_IF_ERROR(WriteFileAtomically(dir.get(), kOptionsFile, kOptions));
  return plan;
}

Status RememberHostname(const wrapper::Request& request, jobs::ContainerReport& container,
                        Deadline deadline) {
  const auto uts = request.namespace_paths.find("uts");
  container.uts_path = uts == request.namespace_paths.end() ? "" : uts->second;
  container.hostname.clear();
  if (container.uts_path.empty()) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(
      const UniqueFd ns,
      OpenAt(AT_FDCWD, container.uts_path, O_RDONLY).While("the pod's UTS namespace"));
  CRYOPOD_ASSIGN_OR_RETURN(container.hostname, ReadHostname(ns.get(), deadline));
  return Status();
}

Status PutHostnameBack(const jobs::ContainerReport& container, Deadline deadline) {
  if (container.uts_path.empty() || container.hostname.empty()) return Status();
  Result<UniqueFd> ns = OpenAt(AT_FDCWD, container.uts_path, O_RDONLY);
  if (!ns.ok()) {
    // A sandbox that is gone has no name to keep.
    return ns.status().code() == Code::kNotFound ? Status() : ns.status();
  }
  return WriteHostname(ns->get(), container.hostname, deadline)
      .While("putting the pod's host name back");
}

Status ReasonOf(const wrapper::Outcome& outcome, const std::string& work_dir) {
  const Result<std::string> log = jobs::ReadLog(work_dir + "/restore.log");
  if (log.ok()) {
    Status reason = criu::ReasonFromLog(*log);
    if (!reason.ok() && !reason.message().empty()) return reason;
  }
  return Status(Code::kUnknown, outcome.log.empty() ? "the runtime's restore failed" : outcome.log,
                Reason::kCriuFailed);
}

}  // namespace cryopod::restore
