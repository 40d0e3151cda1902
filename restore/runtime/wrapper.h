#pragma once

#include <string>
#include <vector>

#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"
#include "restore/runtime/arguments.h"
#include "restore/runtime/protocol/messages.h"
#include "restore/runtime/settings.h"

namespace cryopod::wrapper {

// One call of the wrapper.
struct Call {
  Arguments arguments;
  Settings settings;
  std::string oci_runtime;  // path of the program: runc or crun
};

// Says why the runtime's call fails, where its caller looks for it: as the last line of the file of
// --log (JSON when --log-format says so), which containerd puts into the pod's event word for word.
// Without --log it is the caller's stderr, as with the OCI runtime. Returns the exit code, 1.
int Fail(const Arguments& arguments, const std::string& reason);

// The last error that the OCI runtime wrote into the file of --log, or "".
std::string ReadLastError(const Arguments& arguments);

// One question to the agent. The connection stays open as long as this lives: for a RESTORE that
// tells the other side that somebody still waits for its end.
struct AgentConnection {
  UniqueFd socket;
  Answer answer;  // the first
};

// Connects, sends, and waits for the first answer.
// Errors: of ConnectUnix and ReceiveAnswer; each names the socket.
Result<AgentConnection> AskAgent(const Call& call, const Request& request, Deadline deadline);

// Does what `arguments` (without argv[0]) ask: nearly always that is to become the OCI runtime.
// The returned number is the exit code where it did not.
int RunWrapper(std::vector<std::string> arguments);

// The OCI runtime with the global options of the call, for a subcommand of our own.
std::vector<std::string> RuntimeCommand(const Call& call);

// Becomes the OCI runtime with the same arguments; returns only when that failed.
int PassThrough(const Call& call);

// `create`: a restore when the bundle asks for one that is not consumed.
int Create(const Call& call);
// Runs the OCI runtime's `restore` by the plan of the connection's answer, reports its end, and
// marks the container as restored when the second answer is PASS. Whatever fails leaves no
// container.
int RestoreContainer(const Call& call, const Request& request, AgentConnection connection,
                     Deadline deadline);
// `start`: of a restored container it lets the processes run, everything else passes through.
int Start(const Call& call);
// `exec`: waits while a checkpoint of the container has its door closed (agent/os/door.h: the state
// directory), at the most 20 s.
int Exec(const Call& call);
// `state`: of a container that is restored and has not been let run it says "running", as of any
// that has been started, and not "paused", which nobody has asked for.
int State(const Call& call);
// Before what reaches into a container or waits for it: one that is held is recorded and let run.
Status LetHeldRun(const Call& call);
// `delete`: tells the agent about a restored container that was never started.
int Delete(const Call& call);

// The answer to kSelfCheckCommand: restore/runtime/protocol/self_check_command.h.
std::string SelfCheck();

}  // namespace cryopod::wrapper
