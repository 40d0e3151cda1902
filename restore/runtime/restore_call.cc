#include <signal.h>

#include <charconv>
#include <cstdlib>

#include "agent/criu/plugin/plugin_contract.h"
#include "agent/os/cgroup_paths.h"
#include "agent/os/file.h"
#include "agent/os/subprocess.h"
#include "restore/runtime/programs.h"
#include "restore/runtime/protocol/container_marks.h"
#include "restore/runtime/protocol/interrupted_restore.h"
#include "restore/runtime/wrapper.h"

namespace cryopod::wrapper {
namespace {

using std::chrono::seconds;

constexpr seconds kDiscardTimeout{10};
// After the restore's own deadline: for the report and for the answer to it.
constexpr seconds kReportTimeout{3};
constexpr size_t kPidFileBytesMax = 32;

std::string PidFile(const Call& call, const Plan& plan) {
  return call.arguments.pid_file.empty() ? plan.work_dir + "/init.pid" : call.arguments.pid_file;
}

std::string LauncherLog(const Plan& plan) { return plan.work_dir + "/" + kLauncherLogFile; }

std::vector<std::string> RestoreCommand(const Call& call, const Request& request,
                                        const Plan& plan) {
  std::vector<std::string> command = RuntimeCommand(call);
  // file-locks is an option here because the runtime sends CRIU "no" without it, which outranks the
  // options file.
  command.insert(command.end(),
                 {"restore", "--detach", "--image-path", plan.images_dir, "--work-path",
                  plan.work_dir, "--bundle", request.bundle, "--pid-file", PidFile(call, plan),
                  "--manage-cgroups-mode", "ignore", "--file-locks"});
  if (!call.arguments.console_socket.empty()) {
    command.insert(command.end(), {"--console-socket", call.arguments.console_socket});
  }
  if (call.arguments.no_pivot) command.push_back("--no-pivot");
  command.push_back(request.container_id);
  return command;
}

// What the launcher has to know goes through the OCI runtime as environment: its arguments are
// that runtime's choice.
Result<std::vector<std::string>> RestoreEnvironment(const Request& request, const Plan& plan) {
  const char* path = std::getenv("PATH");
  const std::string search_path = path != nullptr ? path : "";
  CRYOPOD_ASSIGN_OR_RETURN(const std::string launcher, FindLauncherDirectory());
  std::vector<std::string> environment = {
      "PATH=" + launcher + (search_path.empty() ? "" : ":" + search_path),
      "CRYOPOD_CRIU=" + plan.criu,
      "CRYOPOD_CRIU_CONFIG=" + plan.criu_config_file,
      std::string(criu::kLauncherLog) + "=" + LauncherLog(plan),
      std::string("CRYOPOD_CGROUP_NAMESPACE=") + (request.cgroup_namespace ? "1" : "0"),
  };
  // CRIU leaves the container's cgroup for the one that we are in, as its runtime is.
  const Result<std::string> cgroup = OwnCgroupDirectory();
  if (plan.hold != HoldPlan() && cgroup.ok()) {
    using std::string_literals::operator""s;
    environment.push_back(criu::kHoldConfig + "="s + plan.hold.criu_config_file);
    environment.push_back(criu::kHoldCgroup + "="s + plan.hold.cgroup_dir);
    environment.push_back(criu::kRecordLocks + "="s + plan.hold.record_locks_file);
    environment.push_back(criu::kRuntimeCgroup + "="s + *cgroup);
  }
  return environment;
}

Result<ExitStatus> RunRestore(const Call& call, const Request& request, const Plan& plan,
                              Deadline deadline) {
  SpawnOptions options;
  options.argv = RestoreCommand(call, request, plan);
  CRYOPOD_ASSIGN_OR_RETURN(options.environment, RestoreEnvironment(request, plan));
  options.inherit_environment = true;
  // 0, 1 and 2 become the restored container's.
  options.descriptors = {{0, 0}, {1, 1}, {2, 2}};
  options.death_signal = SIGKILL;
  CRYOPOD_ASSIGN_OR_RETURN(Subprocess child, Subprocess::Spawn(options));
  return child.Wait(deadline).While("restoring with " + call.oci_runtime);
}

int64_t ReadPid(const std::string& path) {
  const Result<std::string> text = ReadFile(path, kPidFileBytesMax);
  int64_t pid = 0;
  if (text.ok()) std::from_chars(text->data(), text->data() + text->size(), pid);
  return pid;
}

Outcome Judge(const Call& call, const Plan& plan, const Result<ExitStatus>& exit) {
  Outcome outcome;
  if (!exit.ok()) {
    outcome.log = exit.status().message();
    return outcome;
  }
  outcome.pid = ReadPid(PidFile(call, plan));
  outcome.restored = exit->success() && outcome.pid > 0;
  if (outcome.restored) return outcome;
  const Result<std::string> launcher_log = ReadFile(LauncherLog(plan), kOutcomeLogBytesMax);
  outcome.log = launcher_log.ok() ? *launcher_log : ReadLastError(call.arguments);
  if (outcome.log.empty()) outcome.log = "the runtime's restore ended with " + exit->Describe();
  return outcome;
}

// What a failed `create` leaves: nothing.
void Discard(const Call& call, const Request& request) {
  SpawnOptions options;
  options.argv = RuntimeCommand(call);
  options.argv.insert(options.argv.end(), {"delete", "--force", request.container_id});
  options.inherit_environment = true;
  options.death_signal = SIGKILL;
  static_cast<void>(DetachRestoreMounts(request.state_dir, request.rootfs).ok());
  Result<Subprocess> child = Subprocess::Spawn(options);
  if (child.ok()) static_cast<void>(child->Wait(Deadline::After(kDiscardTimeout)).ok());
}

// Waits for the second answer.
Result<Answer> Report(int socket, const Outcome& outcome, Deadline deadline) {
  CRYOPOD_RETURN_IF_ERROR(
      Send(socket, outcome, deadline).While("reporting the restore to the cryopod agent"));
  return ReceiveAnswer(socket, deadline);
}

// The reason for a failure, or an empty string.
std::string FailureOf(const Outcome& outcome, const Result<Answer>& answer) {
  if (!answer.ok()) {
    return outcome.restored ? answer.status().message()
                            : outcome.log + " (" + answer.status().message() + ")";
  }
  if (answer->decision == Answer::Decision::kPass && outcome.restored) return "";
  return answer->reason.empty() ? "the restore failed: " + outcome.log : answer->reason;
}

}  // namespace

int RestoreContainer(const Call& call, const Request& request, AgentConnection connection,
                     Deadline deadline) {
  const Plan& plan = connection.answer.plan;
  const Outcome outcome = Judge(call, plan, RunRestore(call, request, plan, deadline));
  const Result<Answer> answer =
      Report(connection.socket.get(), outcome, Deadline::At(deadline.instant() + kReportTimeout));
  std::string reason = FailureOf(outcome, answer);
  if (reason.empty()) {
    const Status marked = WriteRestoredMark(request.state_dir, request);
    if (marked.ok()) return 0;
    reason = marked.message();
  }
  Discard(call, request);
  return Fail(call.arguments, reason);
}

}  // namespace cryopod::wrapper
