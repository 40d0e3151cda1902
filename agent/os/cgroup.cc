#include "agent/os/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <thread>

#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr auto kFirstPause = microseconds(100);
constexpr auto kLongestPause = milliseconds(10);
// How long a kill waits for a v1 cgroup to freeze before it kills what still runs.
constexpr auto kFreezeBeforeKill = milliseconds(500);
// Kernels refuse a deeper hierarchy long before: its path has to fit into a page.
constexpr int kDepthMax = 256;

Status RemoveOnce(int parent_fd, const std::string& name) {
  Result<UniqueFd> dir = OpenAt(parent_fd, name, O_DIRECTORY | O_RDONLY);
  if (!dir.ok()) return dir.status().code() == Code::kNotFound ? Status() : dir.status();
  Result<std::vector<DirectoryEntry>> entries = ListDirectory(dir->get());
  if (!entries.ok())
    return entries.status().code() == Code::kNotFound ? Status() : entries.status();
  for (const DirectoryEntry& entry : *entries) {
    if (entry.type == DT_DIR) CRYOPOD_RETURN_IF_ERROR(RemoveOnce(dir->get(), entry.name));
  }
  if (::unlinkat(parent_fd, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return Status();
  return ErrnoStatus(errno, "remove cgroup", name);
}

void PauseLonger(microseconds& pause, Deadline deadline) {
  std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(pause, deadline.remaining()));
  pause = std::min<microseconds>(pause * 2, kLongestPause);
}

bool HasEvent(std::string_view events, std::string_view event) {
  const std::vector<std::string_view> lines = SplitLines(events);
  return std::ranges::find(lines, event) != lines.end();
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
    const Deadline soon = deadline.SoonerAfter(kLongestPause);
    Status changed = WaitReady(file.get(), POLLPRI, soon, "cgroup.events");
    if (!changed.ok() && changed.code() != Code::kDeadlineExceeded) return changed;
  }
}

using ListPids = std::function<Result<std::vector<pid_t>>(int number)>;

// What `file` of one cgroup lists. A domain that is not threaded itself but holds threaded ones
// refuses to list threads, a threaded one refuses to list processes: then it is what `translate`
// makes of the other list.
Result<std::vector<pid_t>> ReadOrTranslate(int dir_fd, const char* file, const char* other_file,
                                           const ListPids& translate) {
  Result<std::vector<pid_t>> pids = ReadCgroupPids(dir_fd, file);
  if (pids.ok() || pids.status().code() != Code::kUnimplemented) return pids;
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> others, ReadCgroupPids(dir_fd, other_file));
  std::vector<pid_t> found;
  for (const pid_t other : others) {
    Result<std::vector<pid_t>> translated = translate(other);
    if (!translated.ok() && translated.status().code() != Code::kNotFound) return translated;
    if (translated.ok()) found.insert(found.end(), translated->begin(), translated->end());
  }
  return found;
}

Result<std::vector<pid_t>> ProcessOf(pid_t thread) {
  CRYOPOD_ASSIGN_OR_RETURN(const pid_t process, ReadThreadGroup(thread));
  return std::vector<pid_t>{process};
}

Result<std::vector<pid_t>> Collect(int dir_fd, const ListPids& list) {
  std::vector<pid_t> all;
  CRYOPOD_RETURN_IF_ERROR(VisitCgroups(dir_fd, [&](int each) -> Status {
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> pids, list(each));
    all.insert(all.end(), pids.begin(), pids.end());
    return Status();
  }));
  std::ranges::sort(all);
  all.erase(std::unique(all.begin(), all.end()), all.end());
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

bool Cgroup::CanFreeze() const {
  const char* file = version_ == CgroupVersion::kV1 ? "freezer.state" : "cgroup.freeze";
  return OpenAt(dir_fd(), file, O_PATH).status().code() != Code::kNotFound;
}

Status Cgroup::AskFor(const char* v1_state, const char* v2_state) const {
  if (version_ == CgroupVersion::kV1)
    return WriteControlFileAt(dir_fd(), "freezer.state", v1_state);
  return WriteControlFileAt(dir_fd(), "cgroup.freeze", v2_state);
}

Status Cgroup::Freeze() const { return AskFor("FROZEN", "1").While("freezing " + path_); }
Status Cgroup::Thaw() const { return AskFor("THAWED", "0").While("thawing " + path_); }

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
  const auto list = [](int dir_fd) {
    return ReadOrTranslate(dir_fd, "cgroup.procs", "cgroup.threads", ProcessOf);
  };
  return Collect(dir_fd(), list).While("listing processes of " + path_);
}

Result<std::vector<pid_t>> Cgroup::Threads() const {
  const auto list = [this](int dir_fd) {
    return version_ == CgroupVersion::kV1
               ? ReadCgroupPids(dir_fd, "tasks")
               : ReadOrTranslate(dir_fd, "cgroup.threads", "cgroup.procs", ListThreads);
  };
  return Collect(dir_fd(), list).While("listing threads of " + path_);
}

Result<std::vector<pid_t>> Cgroup::LivingThreads() const {
  CRYOPOD_ASSIGN_OR_RETURN(std::vector<pid_t> threads, Threads());
  std::erase_if(threads, [](pid_t thread) {
    const Result<ProcessInfo> info = ReadProcessInfo(thread);
    return info.ok() && IsZombie(*info);
  });
  return threads;
}

// Nothing of what is in it runs any more when this returns, as far as the hierarchy can freeze.
Status Cgroup::KillOnce() const {
  const std::string doing = "killing what runs in " + path_;
  if (version_ == CgroupVersion::kV2) {
    CRYOPOD_RETURN_IF_ERROR(WriteControlFileAt(dir_fd(), "cgroup.kill", "1").While(doing));
    // Nothing runs any more: the signal is pending everywhere. An empty cgroup that stayed frozen
    // would be a paused container to runc, which refuses to delete it.
    return Thaw().While(doing);
  }
  // Frozen, nothing forks away between the list and the kill, and no PID is given to another
  // process. The signal is pending when they thaw: they end without running.
  const bool can_freeze = CanFreeze();
  if (can_freeze) {
    CRYOPOD_RETURN_IF_ERROR(Freeze().While(doing));
    const Status frozen = WaitFrozen(Deadline::After(kFreezeBeforeKill));
    if (!frozen.ok() && frozen.code() != Code::kDeadlineExceeded) return frozen.While(doing);
  }
  const Result<std::vector<pid_t>> pids = Processes();
  if (pids.ok()) {
    for (const pid_t pid : *pids) ::kill(pid, SIGKILL);
  }
  if (can_freeze) CRYOPOD_RETURN_IF_ERROR(ThawAll(dir_fd()).While(doing));
  return pids.status().While(doing);
}

Status Cgroup::WaitEmptied(Deadline deadline) const {
  const std::string doing = "waiting for the end of what runs in " + path_;
  if (version_ == CgroupVersion::kV2) {
    const auto empty = [](std::string_view events) -> Result<bool> {
      return HasEvent(events, "populated 0");
    };
    return WaitForEvents(dir_fd(), deadline, empty).While(doing);
  }
  microseconds pause = kFirstPause;
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> pids, Processes());
    if (pids.empty()) return Status();
    if (deadline.expired()) return Status(Code::kDeadlineExceeded, doing);
    PauseLonger(pause, deadline);
    CRYOPOD_RETURN_IF_ERROR(KillOnce());
  }
}

Status Cgroup::Kill(Deadline deadline) const { return KillEach({this}, deadline); }

Status KillEach(const std::vector<const Cgroup*>& cgroups, Deadline deadline) {
  Status first;
  // Only an empty cgroup can be removed; whoever waits for its init may do so before we look.
  const auto keep = [&first](Status status) {
    if (first.ok() && status.code() != Code::kNotFound) first = std::move(status);
  };
  for (const Cgroup* cgroup : cgroups) keep(cgroup->KillOnce());
  for (const Cgroup* cgroup : cgroups) keep(cgroup->WaitEmptied(deadline));
  return first;
}

bool StandsStill(const ProcessInfo& process) {
  if (process.state == 'T' || process.state == 't') return true;
  const Result<Cgroup> cgroup = Cgroup::OfProcess(process.pid);
  if (!cgroup.ok()) return false;
  const Result<FreezeState> state = cgroup->State();
  return state.ok() && *state == FreezeState::kFrozen;
}

Result<FreezeState> ParseFreezerState(std::string_view text) {
  const std::string_view word = text.substr(0, text.find('\n'));
  if (word == "THAWED") return FreezeState::kThawed;
  if (word == "FREEZING") return FreezeState::kFreezing;
  if (word == "FROZEN") return FreezeState::kFrozen;
  return Status(Code::kDataLoss, "freezer.state holds no known state");
}

Result<FreezeState> ParseCgroupEvents(std::string_view text, bool freeze_asked) {
  if (HasEvent(text, "frozen 1")) return FreezeState::kFrozen;
  if (!HasEvent(text, "frozen 0")) {
    return Status(Code::kDataLoss, "cgroup.events says nothing of frozen");
  }
  return freeze_asked ? FreezeState::kFreezing : FreezeState::kThawed;
}

Status VisitCgroups(int dir_fd, const std::function<Status(int dir_fd)>& visit, int depth) {
  if (depth > kDepthMax) return Status(Code::kResourceExhausted, "cgroups nested too deeply");
  CRYOPOD_RETURN_IF_ERROR(visit(dir_fd));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(dir_fd));
  for (const DirectoryEntry& entry : entries) {
    if (entry.type != DT_DIR) continue;
    Result<UniqueFd> child = OpenAt(dir_fd, entry.name, O_DIRECTORY | O_RDONLY);
    Status status = child.ok() ? VisitCgroups(child->get(), visit, depth + 1) : child.status();
    if (!status.ok() && status.code() != Code::kNotFound) return status;
  }
  return Status();
}

Result<std::vector<pid_t>> ReadCgroupPids(int dir_fd, const std::string& file) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFileAt(dir_fd, file));
  std::vector<pid_t> pids;
  if (!ParseNumbers(text, pids)) return Status(Code::kDataLoss, file + ": not a list of PIDs");
  // As an argument of kill(2) a 0 would mean ourselves.
  if (std::ranges::all_of(pids, [](pid_t pid) { return pid > 0; })) return pids;
  return Status(Code::kFailedPrecondition, file + ": a process outside this PID namespace");
}

Status RemoveCgroupAt(int parent_fd, const std::string& name, Deadline deadline) {
  microseconds pause = kFirstPause;
  while (true) {
    Status status = RemoveOnce(parent_fd, name);
    // EBUSY; everything else will not change by waiting.
    if (status.ok() || status.code() != Code::kFailedPrecondition || deadline.expired()) {
      return status;
    }
    PauseLonger(pause, deadline);
  }
}

}  // namespace cryopod
