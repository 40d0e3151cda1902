// cryopod-agent: the coordinator on a node. Unix sockets only; builds every object in order, serves
// until it is told to end. What it started goes on without it.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <memory>

#include "agent/daemon/config.h"
#include "agent/daemon/end_within.h"
#include "agent/daemon/operations/checkpoint_operations.h"
#include "agent/daemon/operations/operation.h"
#include "agent/daemon/operations/restore_operations.h"
#include "agent/daemon/pods/half_made_pods.h"
#include "agent/daemon/sockets/agent_socket.h"
#include "agent/daemon/sockets/wrapper_socket.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/heap.h"
#include "agent/os/log.h"
#include "cri/runtime_client.h"
#include "metrics/agent_metrics.h"

namespace cryopod::daemon {
namespace {

// A runtime that does not answer, or a restore that is stuck, must not keep a stop waiting.
constexpr std::chrono::seconds kShutdownTimeout{4};

// The file may have changed, or --log-level may hold whatever it says.
void ReadLogLevelAgain(int argc, const char* const* argv) {
  settings::AgentSettings config;
  const Result<std::string> read = ReadConfig(argc, argv, config);
  if (!read.ok()) {
    Log(LogLevel::kError, "the configuration cannot be read again, the log level stays",
        {{"reason", read.status().message()}});
    return;
  }
  // Neither the old level nor the new one may hide it.
  SetLogLevel(LogLevel::kInfo);
  Log(LogLevel::kInfo, "log level set", {{"log_level", config.log_level}});
  SetLogLevel(*ParseLogLevel(config.log_level));
}

// Two agents would repair each other's operations.
Result<UniqueFd> TakeLock(const settings::AgentSettings& config) {
  const std::string path = config.run_dir + "/agent.lock";
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd lock, OpenAt(AT_FDCWD, path, O_RDWR | O_CREAT, 0600));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return Status(Code::kFailedPrecondition,
                  "another cryopod-agent holds " + path + "; there is one a node");
  }
  return lock;
}

// Returns the signal that ends the program.
int WaitForEnd(const sigset_t& signals, int argc, const char* const* argv) {
  for (int signal = 0;;) {
    ::sigwait(&signals, &signal);
    if (signal != SIGHUP) return signal;
    ReadLogLevelAgain(argc, argv);
  }
}

Status Serve(const settings::AgentSettings& config, const std::function<int()>& wait_for_end) {
  CRYOPOD_RETURN_IF_ERROR(CheckConfig(config));
  for (const std::string& directory :
       {config.run_dir, config.jobs_dir(), config.state_dir, config.store_root()}) {
    CRYOPOD_RETURN_IF_ERROR(MakeDirectories(directory, 0700));
  }
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd lock, TakeLock(config));
  metrics::AgentMetrics metrics;
  cri::RuntimeClient runtime(config.containerd_socket);
  OperationTable table;
  CheckpointOperations checkpoints(config, runtime, table, metrics);
  RestoreOperations restores(config, metrics);
  // Before anything is served: nothing stays frozen because an agent died.
  CRYOPOD_RETURN_IF_ERROR(checkpoints.AdoptOrRepair().While("repairing checkpoints"));
  CRYOPOD_RETURN_IF_ERROR(restores.AdoptOrRepair().While("repairing restores"));
  CRYOPOD_ASSIGN_OR_RETURN(const std::unique_ptr<RuntimeServer> runtime_server,
                           RuntimeServer::Start(config, restores));
  HalfMadePods half_made(config, runtime, table);
  CRYOPOD_RETURN_IF_ERROR(half_made.Settle().While("settling restores"));
  CRYOPOD_ASSIGN_OR_RETURN(const std::unique_ptr<AgentServer> agent_server,
                           AgentServer::Start({config, runtime, table, checkpoints, metrics}));
  Log(LogLevel::kInfo, "serving",
      {{"version", CRYOPOD_VERSION}, {"socket", config.agent_socket()}});
  const int signal = wait_for_end();
  Log(LogLevel::kInfo, "ending", {{"signal", std::to_string(signal)}});
  EndWithin(kShutdownTimeout);
  return Status();
}

}  // namespace
}  // namespace cryopod::daemon

int main(int argc, char** argv) {
  using namespace cryopod;
  KeepHeapSmall();
  daemon::Config config;
  const Result<std::string> answer = daemon::ReadConfig(argc, argv, config);
  if (!answer.ok()) {
    std::fprintf(stderr, "cryopod-agent: %s\n", answer.status().message().c_str());
    return 2;
  }
  if (!answer->empty()) {
    return std::fputs(answer->c_str(), stdout) < 0 || std::fflush(stdout) != 0 ? 1 : 0;
  }
  SetLogLevel(*ParseLogLevel(config.log_level));
  ::umask(077);
  ::signal(SIGPIPE, SIG_IGN);
  // Blocked before the first thread, so that sigwait alone hears of them.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const Status status =
      daemon::Serve(config, [&] { return daemon::WaitForEnd(signals, argc, argv); });
  if (status.ok()) return 0;
  Log(LogLevel::kError, "cannot serve", {{"reason", status.message()}});
  std::fprintf(stderr, "cryopod-agent: %s\n", status.message().c_str());
  return 1;
}
