#include "agent/checkpoint/held_execs.h"

#include <fcntl.h>
#include <sys/ptrace.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "agent/checkpoint/cancellation.h"
#include "agent/os/file.h"
#include "agent/os/first_in_line.h"
#include "agent/os/namespaces.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"

namespace cryopod::checkpoint {
namespace {

using std::chrono::milliseconds;

// runc needs some 20 ms until it has a process in the container.
constexpr milliseconds kLookInterval{2};
// Until threads that run have stopped, and none of them makes another one.
constexpr milliseconds kStopTime{1};

std::string ProcOf(pid_t pid) { return "/proc/" + std::to_string(pid); }

// What waits at a door (ClosedDoors) is nobody's to hold, and nobody waits for it.
bool IsOurWrapper(pid_t pid) {
  const Result<std::string> program = ReadLinkAt(AT_FDCWD, ProcOf(pid) + "/exe");
  return program.ok() && program->ends_with("/cryopod-runtime");
}

// A child between fork and exec has its parent's words.
bool Executes(pid_t pid, std::string_view subcommand) {
  const Result<std::string> words = ReadFile(ProcOf(pid) + "/cmdline");
  if (!words.ok()) return false;
  for (const std::string_view word : Split(*words, '\0')) {
    if (word == subcommand) return true;
  }
  return false;
}

// Every thread: a pass that finds none that is new has found all. One that is in the kernel, such
// as one that waits in vfork, stops when it leaves it.
void Hold(pid_t pid) {
  std::set<pid_t> seized;
  for (bool all = false; !all;) {
    const Result<std::vector<pid_t>> threads = ListThreads(pid);
    if (!threads.ok()) return;
    all = true;
    for (const pid_t thread : *threads) {
      if (!seized.insert(thread).second) continue;
      all = false;
      if (::ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0) continue;
      static_cast<void>(::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr));
    }
    if (!all) std::this_thread::sleep_for(kStopTime);
  }
}

std::set<pid_t> ShimsOf(const ResolvedPod& pod) {
  std::set<pid_t> shims;
  for (const DumpTarget& target : pod.targets) {
    const Result<ProcessInfo> init = ReadProcessInfo(target.state.init_pid);
    if (init.ok() && init->parent_pid > 1) shims.insert(init->parent_pid);
  }
  return shims;
}

}  // namespace

std::set<pid_t> FindExecs(const std::set<pid_t>& parents) {
  std::set<pid_t> execs;
  for (const pid_t parent : parents) {
    const Result<uint64_t> outside = NamespaceInode(parent, "pid");
    const Result<std::vector<pid_t>> children = ListChildren(parent);
    if (!children.ok()) continue;
    for (const pid_t child : *children) {
      if (!Executes(child, "exec") || IsOurWrapper(child)) continue;
      const Result<uint64_t> pids = NamespaceInode(child, "pid");
      if (outside.ok() && pids.ok() && *pids == *outside) execs.insert(child);
    }
  }
  return execs;
}

HeldExecs::HeldExecs(std::set<pid_t> parents, Deadline opens)
    : parents_(std::move(parents)),
      had_begun_(FindExecs(parents_)),
      keeper_([this, opens](const std::stop_token& stop) { Keep(stop, opens); }) {}

std::unique_ptr<HeldExecs> HeldExecs::Of(const ResolvedPod& pod, Deadline opens) {
  return std::make_unique<HeldExecs>(ShimsOf(pod), opens);
}

void HeldExecs::Keep(const std::stop_token& stop, Deadline opens) const {
  PutFirstInLine(0);
  std::set<pid_t> held = had_begun_;
  while (!stop.stop_requested() && !opens.expired()) {
    for (const pid_t exec : FindExecs(parents_)) {
      if (held.insert(exec).second) Hold(exec);
    }
    std::this_thread::sleep_for(kLookInterval);
  }
}

Status HeldExecs::WaitForThoseThatHadBegun(Deadline patience) const {
  while (!patience.expired()) {
    CRYOPOD_RETURN_IF_ERROR(CheckNotCancelled());
    const std::set<pid_t> execs = FindExecs(parents_);
    const bool one_is_left =
        std::ranges::any_of(had_begun_, [&execs](pid_t exec) { return execs.contains(exec); });
    if (!one_is_left) break;
    std::this_thread::sleep_for(kLookInterval);
  }
  return Status();
}

}  // namespace cryopod::checkpoint
