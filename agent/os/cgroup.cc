#include "agent/os/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <functional>
#include <thread>

#include "agent/os/cgroup_tree.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "agent/os/subprocess.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr auto kFirstPause = microseconds(100);
constexpr auto kLongestPause = milliseconds(10);
// How long a kill waits for a v1 cgroup to freeze before it kills what still runs.
constexpr auto kFreezeBeforeKill = milliseconds(500);

void PauseLonger(microseconds& pause, Deadline deadline) {
  std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(pause, deadline.remaining()));
  pause = std::min<microseconds>(pause * 2, kLongestPause);
}

void SortUnique(std::vector<pid_t>& pids) {
  std::sort(pids.begin(), pids.end());
  pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
}

bool HasEvent(std::string_view events, std::string_view key, std::string_view value) {
  for (const std::string_view line : SplitLines(events)) {
    const std::vector<std::string_view> words = SplitWords(line);
    if (words.size() == 2 && words[0] == key && words[1] == value) return true;
  }
  return false;
}

// Waits until cgroup.events, in which the kernel reports changes by POLLPRI, pleases `done`. The
// kernel holds reports back for 10 ms and drops them when the cgroup is removed meanwhile: so never
// long for one of them.
Status WaitForEvents(int dir_fd, Deadline deadline,
                     const std::function<Result<bool>(std::string_view events)>& done) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd file, OpenAt(dir_fd, "cgroup.events", O_RDONLY));
  while (true) {
    if (::lseek(file.get(), 0, SEEK_SET) != 0) return ErrnoStatus(errno, "lseek", "cgroup.events");
    CRYOPOD_ASSIGN_OR_RETURN(const std::string events, ReadAll(file.get(), kControlFileBytesMax));
    CRYOPOD_ASSIGN_OR_RETURN(const bool pleased, done(events));
    if (pleased) return Status();
    if (deadline.expired()) return Status(Code::kDeadlineExceeded, "cgroup.events did not change");
    pollfd one{file.get(), POLLPRI, 0};
    if (::poll(&one, 1, deadline.SoonerAfter(kLongestPause).poll_timeout_ms()) < 0 &&
        errno != EINTR) {
      return ErrnoStatus(errno, "poll", "cgroup.events");
    }
  }
}

// Threads of one cgroup of the unified hierarchy. A domain that is not threaded itself but holds
// threaded ones refuses to list threads, a threaded one refuses to list processes.
Result<std::vector<pid_t>> UnifiedThreads(int dir_fd) {
  Result<std::vector<pid_t>> threads = ReadCgroupPids(dir_fd, "cgroup.threads");
  if (threads.ok() || threads.status().code() != Code::kUnimplemented) return threads;
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> pids, ReadCgroupPids(dir_fd, "cgroup.procs"));
  std::vector<pid_t> found;
  for (const pid_t pid : pids) {
    Result<std::vector<pid_t>> of_process = ListThreads(pid);
    if (!of_process.ok() && of_process.status().code() != Code::kNotFound) return of_process;
    if (of_process.ok()) found.insert(found.end(), of_process->begin(), of_process->end());
  }
  return found;
}

Result<std::vector<pid_t>> ProcessesOf(int dir_fd) {
  Result<std::vector<pid_t>> pids = ReadCgroupPids(dir_fd, "cgroup.procs");
  if (pids.ok() || pids.status().code() != Code::kUnimplemented) return pids;
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> threads,
                           ReadCgroupPids(dir_fd, "cgroup.threads"));
  std::vector<pid_t> found;
  for (const pid_t thread : threads) {
    const Result<pid_t> process = ReadThreadGroup(thread);
    if (!process.ok() && process.status().code() != Code::kNotFound) return process.status();
    if (process.ok()) found.push_back(*process);
  }
  return found;
}

Result<std::vector<pid_t>> Collect(
    int dir_fd, const std::function<Result<std::vector<pid_t>>(int dir_fd)>& list) {
  std::vector<pid_t> all;
  CRYOPOD_RETURN_IF_ERROR(VisitCgroups(dir_fd, [&](int each) -> Status {
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> pids, list(each));
    all.insert(all.end(), pids.begin(), pids.end());
    return Status();
  }));
  SortUnique(all);
  return all;
}

// v1's freezer can miss a task that forks while it is told to freeze, and then misses it for ever:
// what was asked of this cgroup is asked again. What was asked further up is not ours to repeat.
Status AskAgain(int dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string asked, ReadFileAt(dir_fd, "freezer.self_freezing"));
  if (asked.substr(0, 1) != "1") return Status();
  return WriteControlFileAt(dir_fd, "freezer.state", "FROZEN");
}

// A cgroup beneath may have been frozen by itself and would then stay so.
Status ThawAll(int dir_fd) {
  return VisitCgroups(dir_fd,
                      [](int each) { return WriteControlFileAt(each, "freezer.state", "THAWED"); });
}

}  // namespace

Status Cgroup::Freeze() const {
  Status status = version_ == CgroupVersion::kV1
                      ? WriteControlFileAt(dir_fd(), "freezer.state", "FROZEN")
                      : WriteControlFileAt(dir_fd(), "cgroup.freeze", "1");
  return std::move(status).While("freezing " + path_);
}

Status Cgroup::Thaw() const {
  Status status = version_ == CgroupVersion::kV1
                      ? WriteControlFileAt(dir_fd(), "freezer.state", "THAWED")
                      : WriteControlFileAt(dir_fd(), "cgroup.freeze", "0");
  return std::move(status).While("thawing " + path_);
}

Result<FreezeState> Cgroup::State() const {
  if (version_ == CgroupVersion::kV1) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFileAt(dir_fd(), "freezer.state"));
    return ParseFreezerState(text).While(path_);
  }
  CRYOPOD_ASSIGN_OR_RETURN(const std::string asked, ReadFileAt(dir_fd(), "cgroup.freeze"));
  CRYOPOD_ASSIGN_OR_RETURN(const std::string events, ReadFileAt(dir_fd(), "cgroup.events"));
  return ParseCgroupEvents(events, asked.substr(0, 1) == "1").While(path_);
}

Status Cgroup::WaitFrozen(Deadline deadline) const {
  const std::string doing = "waiting for " + path_ + " to freeze";
  if (version_ == CgroupVersion::kV2) {
    const auto frozen = [](std::string_view events) -> Result<bool> {
      CRYOPOD_ASSIGN_OR_RETURN(const FreezeState state, ParseCgroupEvents(events, true));
      return state == FreezeState::kFrozen;
    };
    return WaitForEvents(dir_fd(), deadline, frozen).While(doing);
  }
  microseconds pause = kFirstPause;
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const FreezeState state, State().While(doing));
    if (state == FreezeState::kFrozen) return Status();
    if (deadline.expired()) return Status(Code::kDeadlineExceeded, doing);
    PauseLonger(pause, deadline);
    if (state == FreezeState::kFreezing) {
      CRYOPOD_RETURN_IF_ERROR(AskAgain(dir_fd()).While(doing));
    }
  }
}

Result<std::vector<pid_t>> Cgroup::Processes() const {
  return Collect(dir_fd(), ProcessesOf).While("listing processes of " + path_);
}

Result<std::vector<pid_t>> Cgroup::Threads() const {
  const auto list = [this](int dir_fd) {
    return version_ == CgroupVersion::kV1 ? ReadCgroupPids(dir_fd, "tasks")
                                          : UnifiedThreads(dir_fd);
  };
  return Collect(dir_fd(), list).While("listing threads of " + path_);
}

Status Cgroup::Kill(Deadline deadline) const {
  Status status = KillAll(deadline);
  // Only an empty cgroup can be removed; whoever waits for its init may do so before we look.
  return status.code() == Code::kNotFound ? Status() : status;
}

Status Cgroup::KillAll(Deadline deadline) const {
  const std::string doing = "killing what runs in " + path_;
  if (version_ == CgroupVersion::kV2) {
    CRYOPOD_RETURN_IF_ERROR(WriteControlFileAt(dir_fd(), "cgroup.kill", "1").While(doing));
    // Nothing runs any more: the signal is pending everywhere. An empty cgroup that stayed frozen
    // would be a paused container to runc, which refuses to delete it.
    CRYOPOD_RETURN_IF_ERROR(Thaw().While(doing));
    const auto empty = [](std::string_view events) -> Result<bool> {
      return HasEvent(events, "populated", "0");
    };
    return WaitForEvents(dir_fd(), deadline, empty).While(doing);
  }
  microseconds pause = kFirstPause;
  while (true) {
    // Frozen, nothing forks away between the list and the kill, and no PID is given to another
    // process. The signal is pending when they thaw: they end without running.
    CRYOPOD_RETURN_IF_ERROR(Freeze().While(doing));
    const Status frozen = WaitFrozen(deadline.SoonerAfter(kFreezeBeforeKill));
    if (!frozen.ok() && frozen.code() != Code::kDeadlineExceeded) return frozen.While(doing);
    Result<std::vector<pid_t>> pids = Processes();
    if (pids.ok()) {
      for (const pid_t pid : *pids) ::kill(pid, SIGKILL);
    }
    CRYOPOD_RETURN_IF_ERROR(ThawAll(dir_fd()).While(doing));
    if (!pids.ok()) return pids.status().While(doing);
    if (pids->empty()) return Status();
    if (deadline.expired()) return Status(Code::kDeadlineExceeded, doing);
    PauseLonger(pause, deadline);
  }
}

Result<FreezeState> ParseFreezerState(std::string_view text) {
  const std::vector<std::string_view> words = SplitWords(text);
  const std::string_view word = words.size() == 1 ? words[0] : std::string_view();
  if (word == "THAWED") return FreezeState::kThawed;
  if (word == "FREEZING") return FreezeState::kFreezing;
  if (word == "FROZEN") return FreezeState::kFrozen;
  return Status(Code::kDataLoss, "freezer.state holds no known state");
}

Result<FreezeState> ParseCgroupEvents(std::string_view text, bool freeze_asked) {
  if (HasEvent(text, "frozen", "1")) return FreezeState::kFrozen;
  if (!HasEvent(text, "frozen", "0")) {
    return Status(Code::kDataLoss, "cgroup.events says nothing of frozen");
  }
  return freeze_asked ? FreezeState::kFreezing : FreezeState::kThawed;
}

}  // namespace cryopod
