#include "agent/os/record_locks.h"

#include <map>
#include <optional>

#include "agent/os/cgroup.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "agent/os/stopped_process.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

constexpr size_t kFdinfoBytesMax = size_t{1} << 20;

Result<bool> Holds(pid_t pid, const RecordLock& lock) {
  const std::string path = "/proc/" + std::to_string(pid) + "/fdinfo/" + std::to_string(lock.fd);
  CRYOPOD_ASSIGN_OR_RETURN(const std::string fdinfo, ReadFile(path, kFdinfoBytesMax));
  return HoldsLock(fdinfo, lock);
}

struct flock ToFlock(const RecordLock& lock) {
  struct flock call = {};
  call.l_type = lock.exclusive ? F_WRLCK : F_RDLCK;
  call.l_whence = SEEK_SET;
  call.l_start = static_cast<off_t>(lock.start);
  call.l_len = static_cast<off_t>(lock.length);
  return call;
}

// From the PIDs of the checkpoint to those of the node.
Result<std::map<uint32_t, pid_t>> FindProcesses(pid_t init, const std::string& cgroup_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const ProcessInfo first, ReadProcessInfo(init));
  const size_t depth = first.namespace_pids.size();
  CRYOPOD_ASSIGN_OR_RETURN(const Cgroup cgroup, Cgroup::Open(cgroup_dir));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> pids, cgroup.Processes());
  std::map<uint32_t, pid_t> found;
  for (const pid_t pid : pids) {
    const Result<ProcessInfo> info = ReadProcessInfo(pid);
    if (!info.ok() || depth == 0 || info->namespace_pids.size() < depth) continue;
    found[static_cast<uint32_t>(info->namespace_pids[depth - 1])] = pid;
  }
  return found;
}

// Sets what one process lacks; tells how many that were.
Result<size_t> SetLocksOf(pid_t pid, const std::vector<RecordLock>& locks) {
  std::optional<StoppedProcess> held;
  size_t set = 0;
  for (const RecordLock& lock : locks) {
    CRYOPOD_ASSIGN_OR_RETURN(bool holds, Holds(pid, lock));
    if (holds) continue;
    if (!held) {
      CRYOPOD_ASSIGN_OR_RETURN(StoppedProcess process, StoppedProcess::Hold(pid));
      held.emplace(std::move(process));
    }
    CRYOPOD_RETURN_IF_ERROR(held->SetRecordLock(static_cast<int>(lock.fd), ToFlock(lock)));
    CRYOPOD_ASSIGN_OR_RETURN(holds, Holds(pid, lock));
    if (!holds) {
      return Status(Code::kFailedPrecondition,
                    "descriptor " + std::to_string(lock.fd) + " is of another file");
    }
    ++set;
  }
  return set;
}

}  // namespace

bool HoldsLock(std::string_view fdinfo, const RecordLock& lock) {
  const std::string end = lock.length == 0 ? "EOF" : std::to_string(lock.start + lock.length - 1);
  for (const std::string_view line : SplitLines(fdinfo)) {
    // lock:	1: POSIX  ADVISORY  WRITE 4711 00:2f:131 128 128
    const std::vector<std::string_view> words = SplitWords(line);
    if (words.size() >= 9 && words[0] == "lock:" && words[2] == "POSIX" &&
        words[4] == (lock.exclusive ? "WRITE" : "READ") && words[7] == std::to_string(lock.start) &&
        words[8] == end) {
      return true;
    }
  }
  return false;
}

Result<size_t> SetLostLocks(pid_t init, const std::string& cgroup_dir,
                            const std::vector<RecordLock>& locks) {
  size_t set = 0;
  if (locks.empty()) return set;
  CRYOPOD_ASSIGN_OR_RETURN(const auto processes, FindProcesses(init, cgroup_dir));
  std::map<uint32_t, std::vector<RecordLock>> by_process;
  for (const RecordLock& lock : locks) by_process[lock.pid].push_back(lock);
  for (const auto& [pid, held] : by_process) {
    const std::string doing = "record locks of process " + std::to_string(pid);
    const auto process = processes.find(pid);
    if (process == processes.end()) {
      return Status(Code::kFailedPrecondition, doing + ": it was not restored");
    }
    CRYOPOD_ASSIGN_OR_RETURN(const size_t count, SetLocksOf(process->second, held).While(doing));
    set += count;
  }
  return set;
}

}  // namespace cryopod
