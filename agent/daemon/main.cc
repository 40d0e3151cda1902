// cryopod-agent: the coordinator on a node. Unix sockets only; builds every object in order, serves
// until it is told to end. What it started goes on without it.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <map>
#include <set>
#include <thread>

#include "agent/archive/store/archive_store.h"
#include "agent/daemon/config.h"
#include "agent/daemon/end_within.h"
#include "agent/daemon/operations/checkpoint_operations.h"
#include "agent/daemon/operations/gone_pods.h"
#include "agent/daemon/operations/restore_operations.h"
#include "agent/daemon/pods/half_made_pods.h"
#include "agent/daemon/pods/pod_restores.h"
#include "agent/daemon/sockets/agent_socket.h"
#include "agent/daemon/sockets/wrapper_socket.h"
#include "agent/jobs/job_directory.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/heap.h"
#include "agent/os/log.h"
#include "agent/os/staging_area.h"
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

// What earlier agents have left, each to those who know its kind: checkpoints first, as something
// may be frozen; restores after the pods of which they are a part.
Status AdoptJobs(const AgentParts& agent, CheckpointOperations& checkpoints,
                 std::jthread& half_made_pods, RestoreOperations& restores) {
  const settings::AgentSettings& config = agent.config;
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<jobs::ListedJob> listed,
                           jobs::ListJobs(config.jobs_dir()));
  std::map<jobs::JobKind, std::vector<std::string>> by_kind;
  std::set<std::string> known;
  for (const jobs::ListedJob& job : listed) {
    known.insert(job.id);
    if (job.readable.ok()) {
      by_kind[job.kind].push_back(job.id);
    } else if (job.readable.code() == Code::kNotFound) {
      // Without a request nothing was started.
      (void)jobs::RemoveJob(config.jobs_dir(), job.id);
    } else {
      agent.operations.AddForeign(job.id, job.readable);
    }
  }
  for (const std::string& id : by_kind[jobs::JobKind::kCheckpoint]) checkpoints.AdoptOrRepair(id);
  half_made_pods = SettleHalfMadePods(
      agent, by_kind[jobs::JobKind::kPod],
      [&restores](const std::string& restore_operation) { restores.EndFor(restore_operation); });
  for (const std::string& id : by_kind[jobs::JobKind::kRestore]) restores.AdoptOrRepair(id);
  const Status swept = StagingArea::RemoveAllBut(config.state_dir + "/staging", known);
  if (!swept.ok()) {
    Log(LogLevel::kError, "removing what lost operations have staged on disk",
        {{"reason", swept.message()}});
  }
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(config.store_root()));
  return store.RemoveLeftovers({}).While("removing what is left of archives");
}

Status Serve(const settings::AgentSettings& config, const sigset_t& signals, int argc,
             const char* const* argv) {
  CRYOPOD_RETURN_IF_ERROR(CheckConfig(config));
  for (const std::string& directory :
       {config.run_dir, config.jobs_dir(), config.state_dir, config.store_root()}) {
    CRYOPOD_RETURN_IF_ERROR(MakeDirectories(directory, 0700));
  }
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd lock, TakeLock(config));
  metrics::AgentMetrics metrics;
  cri::RuntimeClient runtime(config.containerd_socket);
  OperationRegister operations(config.state_dir);
  const AgentParts agent{config, runtime, operations, metrics};
  CheckpointOperations checkpoints(agent);
  RestoreOperations restores(agent);
  std::jthread half_made_pods;
  // Before anything is served: nothing stays frozen because an agent died.
  CRYOPOD_RETURN_IF_ERROR(AdoptJobs(agent, checkpoints, half_made_pods, restores));
  CRYOPOD_ASSIGN_OR_RETURN(const std::jthread wrappers, ServeWrappers(config, restores));
  const std::jthread gone_pods = WatchGonePods(agent, restores);
  PodRestores pods(agent, restores);
  CRYOPOD_ASSIGN_OR_RETURN(const ServedSocket agent_socket, ServeAgent(agent, checkpoints, pods));
  Log(LogLevel::kInfo, "serving",
      {{"version", CRYOPOD_VERSION}, {"socket", config.agent_socket()}});
  const int signal = WaitForEnd(signals, argc, argv);
  Log(LogLevel::kInfo, "ending", {{"signal", std::to_string(signal)}});
  EndWithin(kShutdownTimeout);
  return Status();
}

}  // namespace
}  // namespace cryopod::daemon

int main(int argc, char** argv) {
  using namespace cryopod;
  KeepHeapSmall();
  settings::AgentSettings config;
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
  const Status status = daemon::Serve(config, signals, argc, argv);
  if (status.ok()) return 0;
  Log(LogLevel::kError, "cannot serve", {{"reason", status.message()}});
  std::fprintf(stderr, "cryopod-agent: %s\n", status.message().c_str());
  return 1;
}
