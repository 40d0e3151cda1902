// cryopod-agent: the coordinator on a node. Unix sockets only; builds every object in order, serves
// until it is told to end. What it started goes on without it.
#include <fcntl.h>
#include <malloc.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>

#include "agent/agent_service.h"
#include "agent/checkpoint_operations.h"
#include "agent/config.h"
#include "agent/operation.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"
#include "agent/restore_operations.h"
#include "agent/runtime_server.h"
#include "cri/runtime_client.h"
#include "metrics/agent_metrics.h"

namespace cryopod::agent {
namespace {

LogLevel ToLevel(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "warning") return LogLevel::kWarning;
  return name == "error" ? LogLevel::kError : LogLevel::kInfo;
}

// A steady process: what its threads free goes back to the kernel. Every thread of gRPC, which come
// and go, would else keep a heap of its own, and a large buffer once freed would raise the size
// from which the next ones are given back.
void KeepHeapSmall() {
  static constexpr int kArenasMax = 2;
  static constexpr int kMmapThresholdBytes = 128 << 10;
  ::mallopt(M_ARENA_MAX, kArenasMax);
  ::mallopt(M_MMAP_THRESHOLD, kMmapThresholdBytes);
  ::mallopt(M_TRIM_THRESHOLD, kMmapThresholdBytes);
}

// Two agents would repair each other's operations.
Result<UniqueFd> TakeLock(const Config& config) {
  const std::string path = config.run_dir + "/agent.lock";
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd lock, OpenAt(AT_FDCWD, path, O_RDWR | O_CREAT, 0600));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return Status(Code::kFailedPrecondition,
                  "another cryopod-agent holds " + path + "; there is one a node");
  }
  return lock;
}

Status Serve(const Config& config, const sigset_t& end_signals) {
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
  RestoreOperations restores(config);
  // Before anything is served: nothing stays frozen because an agent died.
  CRYOPOD_RETURN_IF_ERROR(checkpoints.AdoptOrRepair().While("repairing checkpoints"));
  CRYOPOD_RETURN_IF_ERROR(restores.AdoptOrRepair().While("repairing restores"));
  CRYOPOD_ASSIGN_OR_RETURN(const std::unique_ptr<RuntimeServer> runtime_server,
                           RuntimeServer::Start(config, restores));
  CRYOPOD_ASSIGN_OR_RETURN(const std::unique_ptr<AgentServer> agent_server,
                           AgentServer::Start({config, runtime, table, checkpoints, metrics}));
  Log(LogLevel::kInfo, "serving",
      {{"version", CRYOPOD_VERSION}, {"socket", config.agent_socket()}});
  int signal = 0;
  ::sigwait(&end_signals, &signal);
  Log(LogLevel::kInfo, "ending", {{"signal", std::to_string(signal)}});
  return Status();
}

}  // namespace
}  // namespace cryopod::agent

int main(int argc, char** argv) {
  using namespace cryopod;
  agent::KeepHeapSmall();
  int exit_code = -1;
  const agent::Config config = agent::ParseCommandLine(argc, argv, exit_code);
  if (exit_code >= 0) return exit_code;
  SetLogLevel(agent::ToLevel(config.log_level));
  ::umask(077);
  ::signal(SIGPIPE, SIG_IGN);
  // Blocked before the first thread, so that sigwait alone hears of them.
  sigset_t end_signals;
  sigemptyset(&end_signals);
  sigaddset(&end_signals, SIGTERM);
  sigaddset(&end_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &end_signals, nullptr);
  const Status status = agent::Serve(config, end_signals);
  if (status.ok()) return 0;
  Log(LogLevel::kError, "cannot serve", {{"reason", status.message()}});
  std::fprintf(stderr, "cryopod-agent: %s\n", status.message().c_str());
  return status.code() == Code::kInvalidArgument ? 2 : 1;
}
