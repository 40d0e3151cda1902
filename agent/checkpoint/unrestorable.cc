#include "agent/checkpoint/unrestorable.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <map>
#include <optional>

#include "agent/checkpoint/lost_sessions.h"
#include "agent/os/file.h"
#include "agent/os/mount_info.h"
#include "agent/os/text.h"

namespace cryopod::checkpoint {
namespace {

// CLOCK_THREAD_CPUTIME_ID as the kernel keeps it: of the thread that made the timer, whichever.
constexpr int kThreadCpuClock = -2;

// Seven small files of a process, each of which takes a page and an entry, and lists of mappings.
constexpr uint64_t kProcessImagesBytes = uint64_t{64} << 10;
// Registers, which with AVX-512 and AMX are 11 KiB.
constexpr uint64_t kThreadImagesBytes = uint64_t{16} << 10;
// As many bytes may wait in a pipe that nobody has enlarged.
constexpr uint64_t kPipeBytes = uint64_t{64} << 10;
// CRIU refuses deleted files that are larger (agent/criu/dump_options).
constexpr uint64_t kDeletedFileBytesMax = uint64_t{64} << 20;

bool HasNumber(std::string_view path) {
  return std::ranges::adjacent_find(path, [](char one, char next) {
           return one == '/' && next >= '0' && next <= '9';
         }) != path.end();
}

// What stands behind a link of /proc, without asking a file server that may not answer.
std::optional<struct statx> LookBehind(pid_t pid, const std::string& name) {
  struct statx info {};
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &info) != 0) {
    return std::nullopt;
  }
  return info;
}

// The link of a descriptor has the owner's bits that its file was opened with.
bool IsOpenForReading(pid_t pid, const std::string& name) {
  struct stat status {};
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  return ::lstat(path.c_str(), &status) == 0 && (status.st_mode & S_IRUSR) != 0;
}

class ContainerCheck {
 public:
  ContainerCheck(const DumpTarget& target, const std::vector<SeenProcess>& processes)
      : target_(target), processes_(processes) {}

  Inspection Run() {
    for (const SeenProcess& process : processes_) {
      const Result<std::vector<pid_t>> threads = ListThreads(process.info.pid);
      if (!threads.ok()) continue;
      images_bytes_ += kProcessImagesBytes + threads->size() * kThreadImagesBytes;
      CheckTimers(process.info, *threads);
      CheckLinks(process.info, process.links);
    }
    CheckSessions();
    CheckPipes(pipes_, "pipes");
    CheckPipes(fifos_, "named pipes open");
    images_bytes_ += (pipes_.size() + fifos_.size()) * kPipeBytes;
    return {std::move(objections_), images_bytes_};
  }

 private:
  void Add(Reason word, const std::string& sentence) {
    objections_.push_back({word, "container " + target_.requested.name + sentence});
  }

  void CheckTimers(const ProcessInfo& process, const std::vector<pid_t>& threads) {
    const Result<std::vector<PosixTimer>> timers = ReadPosixTimers(process.pid);
    if (!timers.ok()) return;
    for (const PosixTimer& timer : *timers) {
      const std::string_view reason = ReasonAgainst(timer, process.pid, threads.size());
      if (reason.empty()) continue;
      Add(Reason::kPosixTimer, ": " + NameOf(process) + " has a timer (timer_create, number " +
                                   std::to_string(timer.id) + ") " + std::string(reason));
      return;
    }
  }

  static std::string_view ReasonAgainst(const PosixTimer& timer, pid_t process, size_t threads) {
    // CRIU 4.2.1 translates the thread's number before it knows the first thread's
    // (criu/timer.c, encode_notify_thread_id).
    if (timer.thread == process) {
      return "that signals its first thread (SIGEV_THREAD_ID), which CRIU dumps and cannot restore;"
             " delete it, let it signal the process (SIGEV_SIGNAL) or another thread, or end the"
             " profiler that made it";
    }
    if (timer.thread != 0 &&
        !PathExists("/proc/" + std::to_string(process) + "/task/" + std::to_string(timer.thread))) {
      return "that signals a thread that has ended (SIGEV_THREAD_ID), which CRIU cannot dump;"
             " delete it";
    }
    if (timer.clock == kThreadCpuClock && threads > 1) {
      return "on the processor time of one of its threads (CLOCK_THREAD_CPUTIME_ID), which would"
             " come back on that of the first thread; delete it, or end the profiler that made it";
    }
    return {};
  }

  void CheckLinks(const ProcessInfo& process, const std::vector<SeenProcess::Link>& links) {
    size_t refused = 0;
    std::string first;
    for (const auto& [name, target] : links) {
      if (name == "exe") continue;
      if (!target.starts_with("/") && !target.starts_with("pipe:[")) continue;
      const std::optional<struct statx> info = LookBehind(process.pid, name);
      if (!info) continue;
      Count(process.pid, name, target, *info);
      const std::string_view reason = ReasonAgainstLink(process.pid, target, *info);
      if (reason.empty() || ++refused > 1) continue;
      first =
          (name.starts_with("fd/") ? " has " + target + " open (descriptor " + name.substr(3) + ")"
                                   : " has " + target + " as its " + name) +
          ", " + std::string(reason);
    }
    if (refused == 0) return;
    if (refused > 1) first += " (and " + std::to_string(refused - 1) + " more of these)";
    Add(Reason::kProcTaskFile, ": " + NameOf(process) + first);
  }

  // Pipes as CRIU counts them (criu/pipes.c, dump_one_pipe_data): by the lower half of the inode's
  // number.
  void Count(pid_t pid, const std::string& name, const std::string& link,
             const struct statx& info) {
    if (S_ISFIFO(info.stx_mode)) {
      if (!IsOpenForReading(pid, name)) return;
      (link.starts_with("/") ? fifos_ : pipes_).insert(static_cast<uint32_t>(info.stx_ino));
    } else if (S_ISREG(info.stx_mode) && info.stx_nlink == 0 && !link.starts_with("/memfd:")) {
      const uint64_t device = makedev(info.stx_dev_major, info.stx_dev_minor);
      if (!deleted_.insert({device, info.stx_ino}).second) return;
      images_bytes_ += std::min<uint64_t>(info.stx_blocks * 512, kDeletedFileBytesMax);
    }
  }

  void CheckPipes(const std::set<uint32_t>& pipes, const std::string& kind) {
    if (pipes.size() <= kPipesMax) return;
    Add(Reason::kTooManyPipes,
        " has " + std::to_string(pipes.size()) + " " + kind + ", and CRIU keeps at most " +
            std::to_string(kPipesMax) +
            " of one container; close some, or spread the processes over several containers");
  }

  // A file is where its mount is, whatever its path looks like.
  std::string_view ReasonAgainstLink(pid_t pid, const std::string& link, const struct statx& info) {
    if (!HasNumber(link)) return {};
    const std::string device =
        std::to_string(info.stx_dev_major) + ":" + std::to_string(info.stx_dev_minor);
    const MountEntry* proc = nullptr;
    for (const MountEntry& entry : Mounts(pid)) {
      if (entry.file_system_type != "proc" || entry.device != device) continue;
      if (!IsAtOrBelow(link, entry.mount_point)) continue;
      // The deepest one, and of those on each other the last.
      if (proc == nullptr || entry.mount_point.size() >= proc->mount_point.size()) proc = &entry;
    }
    if (proc == nullptr) return {};
    const std::string& point = proc->mount_point;
    const std::string root = proc->root == "/" ? "" : proc->root;
    const bool at_root = root.empty() && point.rfind('/') == 0;
    const auto& [processes, threads] = Numbers();
    return ReasonAgainstProcFile(root + link.substr(point == "/" ? 0 : point.size()), at_root,
                                 processes, threads);
  }

  // Those of its mount namespace: a process in a chroot sees only some of them.
  const std::vector<MountEntry>& Mounts(pid_t pid) {
    const pid_t init = target_.state.init_pid;
    const Result<uint64_t> its = NamespaceInode(pid, "mnt");
    const Result<uint64_t> first = NamespaceInode(init, "mnt");
    const bool is_shared = its.ok() && first.ok() && *its == *first;
    const auto [mounts, is_new] = mounts_.try_emplace(is_shared ? init : pid);
    if (is_new) {
      Result<std::vector<MountEntry>> read = ReadMountInfo(mounts->first);
      if (read.ok()) mounts->second = std::move(read).value();
    }
    return mounts->second;
  }

  // Processes, and threads that are not first ones, in the container's PID namespace.
  const std::pair<std::set<pid_t>, std::set<pid_t>>& Numbers() {
    if (numbers_) return *numbers_;
    numbers_.emplace();
    for (const auto& [process, links] : processes_) {
      if (process.namespace_pids.empty()) continue;
      numbers_->first.insert(process.namespace_pids.back());
      const Result<std::vector<pid_t>> threads = ListThreads(process.pid);
      if (!threads.ok()) continue;
      for (const pid_t thread : *threads) {
        if (thread == process.pid) continue;
        const Result<ProcessInfo> info = ReadProcessInfo(thread);
        if (info.ok() && !info->namespace_pids.empty()) {
          numbers_->second.insert(info->namespace_pids.back());
        }
      }
    }
    return *numbers_;
  }

  // A cgroup lists no process that has ended, and CRIU dumps those that nobody has waited for. The
  // first process's may have any session.
  std::vector<ProcessInfo> WithZombies() const {
    std::vector<ProcessInfo> all;
    for (const SeenProcess& process : processes_) all.push_back(process.info);
    for (const auto& [process, links] : processes_) {
      if (process.pid == target_.state.init_pid) continue;
      const Result<std::vector<pid_t>> children = ListChildren(process.pid);
      if (!children.ok()) continue;
      for (const pid_t child : *children) {
        Result<ProcessInfo> info = ReadProcessInfo(child);
        if (info.ok() && IsZombie(*info)) all.push_back(std::move(info).value());
      }
    }
    return all;
  }

  // One sentence for each session, whose processes may be many.
  void CheckSessions() {
    std::map<pid_t, std::vector<LostSession>> by_session;
    for (LostSession& lost : FindLostSessions(WithZombies(), target_.state.init_pid)) {
      by_session[lost.process.session].push_back(std::move(lost));
    }
    for (const auto& [session, lost] : by_session) {
      const LostSession& first = lost.front();
      const bool is_zombie = IsZombie(first.process);
      std::string who = NameOf(first.process);
      if (is_zombie) who += ", which has ended unnoticed,";
      if (lost.size() > 1) who += " and " + std::to_string(lost.size() - 1) + " more";
      const char* const leader =
          first.leader_lives ? ", whose leader is no ancestor" : ", whose leader has ended";
      Add(Reason::kOrphanedSession,
          ": " + who + " in session " + std::to_string(session) + leader + ": adopted by " +
              NameOf(first.parent) + ", a child subreaper, and CRIU cannot restore that; " +
              (is_zombie ? "let its parent wait for it" : "end it") +
              ", or let the session's leader live as long, or let the container's first process be"
              " the one that adopts orphans");
    }
  }

  const DumpTarget& target_;
  const std::vector<SeenProcess>& processes_;
  std::vector<Objection> objections_;
  std::set<uint32_t> pipes_;
  std::set<uint32_t> fifos_;
  std::set<std::pair<uint64_t, uint64_t>> deleted_;
  uint64_t images_bytes_ = 0;
  std::map<pid_t, std::vector<MountEntry>> mounts_;
  std::optional<std::pair<std::set<pid_t>, std::set<pid_t>>> numbers_;
};

}  // namespace

Result<SeenProcess> LookAtProcess(pid_t pid) {
  SeenProcess seen;
  CRYOPOD_ASSIGN_OR_RETURN(seen.info, ReadProcessInfo(pid));
  std::vector<std::string> names = {"cwd", "root", "exe"};
  const Result<std::vector<int>> descriptors = ListDescriptors(pid);
  if (descriptors.ok()) {
    for (const int number : *descriptors) names.push_back("fd/" + std::to_string(number));
  }
  for (std::string& name : names) {
    Result<std::string> target = ReadProcLink(pid, name);
    if (target.ok()) seen.links.push_back({std::move(name), std::move(target).value()});
  }
  return seen;
}

Result<std::vector<SeenProcess>> LookAtProcesses(const Cgroup& cgroup) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> pids, cgroup.Processes());
  std::vector<SeenProcess> processes;
  for (const pid_t pid : pids) {
    Result<SeenProcess> seen = LookAtProcess(pid);
    if (seen.ok()) processes.push_back(std::move(seen).value());
  }
  return processes;
}

Inspection InspectProcesses(const DumpTarget& target, const std::vector<SeenProcess>& processes) {
  return ContainerCheck(target, processes).Run();
}

std::string_view ReasonAgainstProcFile(std::string_view path, bool at_root,
                                       const std::set<pid_t>& processes,
                                       const std::set<pid_t>& threads) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  std::vector<std::string_view> parts;
  for (const std::string_view part : Split(path, '/')) {
    if (!part.empty()) parts.push_back(part);
  }
  pid_t process = 0;
  if (parts.empty() || !ParseNumber(parts[0], process)) return {};
  constexpr std::string_view kThread =
      "a file of a thread, which is not there yet when a restore opens it; close it, or open that "
      "of"
      " the process (/proc/PID instead of /proc/PID/task/TID or /proc/thread-self)";
  pid_t thread = process;
  if (parts.size() > 2 && parts[1] == "task") (void)ParseNumber(parts[2], thread);
  if (thread != process || threads.contains(process)) return kThread;
  // The first process of the namespace is always there, be it the pod's.
  if (!at_root && process != 1 && !processes.contains(process)) {
    return "a file of a process that has ended or is outside the container, on a proc that is not"
           " mounted right beneath the root, which a restore does not find; close it";
  }
  return {};
}

}  // namespace cryopod::checkpoint
