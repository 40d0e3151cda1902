// The library that CRIU loads for a restore. When every process of the container is restored and
// CRIU still holds them all, it does what only the processes themselves can do (record locks that
// CRIU has lost), takes CRIU out of the container's cgroup, and freezes that: so they wait for
// their `start` without a signal that they could see.
//
// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// It runs inside CRIU, which is GPL-2.0-only: this library, with what of agent/os it is made of,
// is given under either licence.
//
// Environment  agent/criu/plugin/plugin_contract.h
// Source       CRIU 4.2, criu/include/criu-plugin.h (the descriptor), criu/cr-restore.c
//              (restore_root_task: the hook comes after rt_sigreturn, right before the tasks are
//              let go; what it returns is not looked at).
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "agent/criu/plugin/plugin_contract.h"
#include "agent/os/cgroup.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "agent/os/record_locks.h"

namespace cryopod::criu {
namespace {

// One lock is a line of less than 80 characters.
constexpr size_t kRecordLocksBytesMax = size_t{1} << 20;

std::string Environment(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr ? value : "";
}

bool IsOurs(const ProcessInfo& process) { return process.tracer_pid == ::getpid(); }

// CRIU, and what it has left of the processes that it works with; a restored one is no child of it,
// or is traced by it.
Status Leave(const Cgroup& cgroup, const std::string& directory) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd to, OpenDirectory(directory));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> there, cgroup.Processes());
  CRYOPOD_ASSIGN_OR_RETURN(std::vector<pid_t> leaving, ListChildren(::getpid()));
  leaving.push_back(::getpid());
  for (const pid_t pid : leaving) {
    if (std::ranges::find(there, pid) == there.end()) continue;
    const Result<ProcessInfo> process = ReadProcessInfo(pid);
    if (!process.ok() || IsZombie(*process) || IsOurs(*process)) continue;
    CRYOPOD_RETURN_IF_ERROR(WriteControlFileAt(to.get(), "cgroup.procs", std::to_string(pid))
                                .While("leaving " + cgroup.path() + " for " + directory));
  }
  return Status();
}

Status Hold(pid_t init) {
  const std::string cgroup_dir = Environment(kHoldCgroup);
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile(Environment(kRecordLocks), kRecordLocksBytesMax));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<RecordLock> locks, ParseLocks(text));
  CRYOPOD_RETURN_IF_ERROR(SetLostLocks(init, cgroup_dir, locks).status());
  CRYOPOD_ASSIGN_OR_RETURN(const Cgroup cgroup, Cgroup::Open(cgroup_dir));
  CRYOPOD_RETURN_IF_ERROR(Leave(cgroup, Environment(kRuntimeCgroup)));
  // A traced task cannot freeze before it is let go: that is waited for afterwards.
  return cgroup.Freeze();
}

// Nothing may run that is not held: CRIU then finds that it cannot let them go, and fails.
void KillAll(pid_t init) {
  const Result<Cgroup> cgroup = Cgroup::Open(Environment(kHoldCgroup));
  const Result<std::vector<pid_t>> pids =
      cgroup.ok() ? cgroup->Processes() : Result<std::vector<pid_t>>(cgroup.status());
  for (const pid_t pid : pids.ok() ? *pids : std::vector<pid_t>{init}) {
    const Result<ProcessInfo> process = ReadProcessInfo(pid);
    if (process.ok() && IsOurs(*process)) ::kill(pid, SIGKILL);
  }
}

// Descriptors 0 to 2 are the container's.
void Tell(const std::string& what) {
  const Result<UniqueFd> log =
      OpenAt(AT_FDCWD, Environment(kLauncherLog), O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (log.ok()) static_cast<void>(WriteAll(log->get(), "criu plugin: " + what + "\n").ok());
}

// Called for every process that lives, the first one first. All are dealt with at once: another
// library of CRIU's own is not loaded beside this one.
int HoldAll(int pid) noexcept {
  static bool is_done = false;
  if (is_done) return 0;
  is_done = true;
  try {
    const Status held = Hold(pid);
    if (held.ok()) return 0;
    KillAll(pid);
    Tell(held.message());
  } catch (...) {
    ::kill(pid, SIGKILL);
  }
  return -1;
}

// A CRIU that got no orders would let run what it restores.
int Begin(int) noexcept { return Environment(kHoldCgroup).empty() ? -1 : 0; }
void End(int, int) noexcept {}

__attribute__((constructor)) void SayThatItIsLoaded() {
  if (std::getenv(kPluginProbe) == nullptr) return;
  static_cast<void>(WriteAll(STDOUT_FILENO, std::string(kPluginLoaded) + "\n").ok());
}

}  // namespace
}  // namespace cryopod::criu

extern "C" {

// cr_plugin_desc_t with as many hooks as are used: CRIU takes fewer than it has.
struct CriuPluginDescriptor {
  const char* name;
  int (*init)(int stage);
  void (*exit)(int stage, int ret);
  unsigned version;    // 0.2.0
  unsigned max_hooks;  // of the array
  void* hooks[10];     // the last one is RESUME_DEVICES_LATE, int (*)(int pid)
};

[[gnu::visibility("default")]] extern const CriuPluginDescriptor CR_PLUGIN_DESC;
const CriuPluginDescriptor CR_PLUGIN_DESC = {
    "cryopod_hold",
    cryopod::criu::Begin,
    cryopod::criu::End,
    0x000200,
    10,
    {nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
     reinterpret_cast<void*>(cryopod::criu::HoldAll)}};
}
