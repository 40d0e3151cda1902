// The program that the OCI runtime finds under the name criu. It becomes the real CRIU, by exec:
// the runtime makes the restored init process a sibling of what it started, so nothing may stand
// between.
//
// Descriptors 0 to 2 are the container's: what goes wrong is written to CRYOPOD_LAUNCHER_LOG.
//
// Environment  CRYOPOD_CRIU              path of the real CRIU
//              CRYOPOD_CRIU_CONFIG       CRIU options file that must hold
//              CRYOPOD_HOLD_CONFIG       the one in its place where the plugin holds what is
//                                        restored; empty: there is no plugin
//              CRYOPOD_CGROUP_NAMESPACE  1: the container has a cgroup namespace of its own
//              CRYOPOD_LAUNCHER_LOG      file for one line of error
//              and what the plugin needs: agent/criu/plugin/plugin_contract.h
// Source       CRIU 4.2, criu/config.c (next_config: CRIU_CONFIG_FILE is read in every mode, swrk
//              included) and criu/cr-service.c (setup_opts_from_req: a request can set
//              leave-stopped, but not take it back, and runc sets neither it nor tcp-close).
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "agent/criu/plugin/plugin_contract.h"
#include "agent/os/cgroup.h"
#include "agent/os/file.h"

namespace {

using cryopod::Result;
using cryopod::UniqueFd;

constexpr int kRequestTimeoutMs = 60'000;
constexpr int kExitCode = 127;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

int Fail(const std::string& what, int error_number) {
  const std::string path = Environment(cryopod::criu::kLauncherLog);
  const std::string line =
      "criu launcher: " + what +
      (error_number != 0 ? std::string(": ") + std::strerror(error_number) : "") + "\n";
  const int log = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log >= 0) {
    static_cast<void>(!::write(log, line.data(), line.size()));
    ::close(log);
  }
  return kExitCode;
}

// The runtime moves us into the container's cgroup and then writes its request: once there is
// something to read, a cgroup namespace made here has the container's cgroup as its root.
bool WaitForRequest(int fd) {
  pollfd request{fd, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&request, 1, kRequestTimeoutMs);
  } while (ready < 0 && errno == EINTR);
  // A peer that is gone makes the socket readable too.
  char first = 0;
  return ready == 1 && ::recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

// The plugin freezes all that is in the container's cgroup, where the runtime has put us: runc
// does, and another one may not.
bool IsInContainersCgroup() {
  const Result<UniqueFd> dir = cryopod::OpenDirectory(Environment(cryopod::criu::kHoldCgroup));
  if (!dir.ok()) return false;
  const Result<std::vector<pid_t>> pids = cryopod::ReadCgroupPids(dir->get(), "cgroup.procs");
  return pids.ok() && std::ranges::find(*pids, ::getpid()) != pids->end();
}

// CRIU's options file by whether the plugin can hold what is restored, or stop signals must.
std::string ChooseConfig(const std::string& with_stop_signals) {
  using namespace cryopod::criu;
  std::string with_plugin = Environment(kHoldConfig);
  if (!with_plugin.empty() && IsInContainersCgroup()) return with_plugin;
  for (const char* const name : {kHoldConfig, kHoldCgroup, kRuntimeCgroup, kRecordLocks}) {
    ::unsetenv(name);
  }
  return with_stop_signals;
}

}  // namespace

int main(int, char** argv) {
  const std::string criu = Environment("CRYOPOD_CRIU");
  std::string config = Environment("CRYOPOD_CRIU_CONFIG");
  if (criu.empty() || config.empty()) return Fail("started without cryopod-runtime", 0);
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return Fail("prctl", errno);
  if (argv[1] != nullptr && argv[2] != nullptr && std::strcmp(argv[1], "swrk") == 0) {
    if (!WaitForRequest(std::atoi(argv[2]))) return Fail("no request from the runtime", 0);
    config = ChooseConfig(config);
    if (Environment("CRYOPOD_CGROUP_NAMESPACE") == "1" && ::unshare(CLONE_NEWCGROUP) != 0) {
      return Fail("unshare of the cgroup namespace", errno);
    }
  }
  // CRIU ignores an options file that it cannot read, and would let the processes run at once.
  if (::access(config.c_str(), R_OK) != 0) return Fail(config, errno);
  if (::setenv("CRIU_CONFIG_FILE", config.c_str(), 1) != 0) return Fail("setenv", errno);
  argv[0] = const_cast<char*>(criu.c_str());
  ::execv(criu.c_str(), argv);
  return Fail("execve of " + criu, errno);
}
