#include "restore/runtime/wrapper.h"

#include <utility>

#include "agent/os/unix_socket.h"
#include "restore/runtime/bundle.h"
#include "restore/runtime/programs.h"

namespace cryopod::wrapper {
namespace {

// `run` is create and start in one, and nothing that a CRI runtime calls.
int Run(const Call& call) {
  const std::string& bundle = call.arguments.bundle;
  const Result<std::optional<Request>> request = ReadRestoreRequest(bundle.empty() ? "." : bundle);
  if (!request.ok()) return Fail(call.arguments, request.status().message());
  if (request->has_value()) {
    return Fail(call.arguments, std::string("a bundle with the annotation ") +
                                    kRestoreFromAnnotation + " is restored by create, not by run");
  }
  return PassThrough(call);
}

// These reach into the container or wait for it, which a held one would not answer; `ps` and the
// like only look.
bool NeedsRunningProcesses(const std::string& subcommand) {
  return subcommand == "exec" || subcommand == "kill" || subcommand == "pause" ||
         subcommand == "checkpoint";
}

int Dispatch(const Call& call) {
  const std::string& subcommand = call.arguments.subcommand;
  const std::string& id = call.arguments.id;
  if (subcommand == "create") return Create(call);
  if (subcommand == "run") return Run(call);
  // An id that is no file name is the OCI runtime's to refuse.
  if (id.empty() || id.find('/') != std::string::npos || id[0] == '.') return PassThrough(call);
  if (subcommand == "start") return Start(call);
  if (subcommand == "delete") return Delete(call);
  if (subcommand == "state") return State(call);
  if (NeedsRunningProcesses(subcommand)) {
    const Status released = LetHeldRun(call);
    // Whoever ends it must be able to, also where nothing can be recorded.
    if (!released.ok() && subcommand != "kill") return Fail(call.arguments, released.message());
  }
  return subcommand == "exec" ? Exec(call) : PassThrough(call);
}

}  // namespace

Result<AgentConnection> AskAgent(const Call& call, const Request& request, Deadline deadline) {
  const std::string& path = call.settings.agent_socket;
  const std::string doing = "asking the cryopod agent at " + path;
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd socket, ConnectUnix(path, deadline).While(doing));
  CRYOPOD_RETURN_IF_ERROR(Send(socket.get(), request, deadline).While(doing));
  CRYOPOD_ASSIGN_OR_RETURN(Answer answer, ReceiveAnswer(socket.get(), deadline).While(doing));
  return AgentConnection{std::move(socket), std::move(answer)};
}

std::vector<std::string> RuntimeCommand(const Call& call) {
  std::vector<std::string> command = {call.oci_runtime};
  command.insert(command.end(), call.arguments.globals.begin(), call.arguments.globals.end());
  return command;
}

int PassThrough(const Call& call) {
  return Fail(call.arguments, Execute(call.oci_runtime, call.arguments.all).message());
}

int RunWrapper(std::vector<std::string> arguments) {
  Call call;
  call.arguments = ParseArguments(std::move(arguments));
  Result<Settings> settings = ReadSettings();
  if (!settings.ok()) return Fail(call.arguments, settings.status().message());
  call.settings = std::move(*settings);
  Result<std::string> oci_runtime = FindProgram(call.settings.runtime);
  if (!oci_runtime.ok()) {
    return Fail(call.arguments, oci_runtime.status().message() +
                                    "; name the OCI runtime in /etc/cryopod/runtime.conf "
                                    "(runtime=/usr/sbin/runc)");
  }
  call.oci_runtime = std::move(*oci_runtime);
  return Dispatch(call);
}

}  // namespace cryopod::wrapper
