#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/status.h"
#include "agent/os/text.h"

namespace cryopod {

// PID_MAX_LIMIT of 64-bit kernels.
inline constexpr pid_t kPidMax = 1 << 22;

// What /proc/<pid>/stat and status say of one task. Source: proc(5).
struct ProcessInfo {
  pid_t pid = 0;
  pid_t parent_pid = 0;
  pid_t group = 0;                    // process group and session, as numbered in our namespace;
  pid_t session = 0;                  // 0 when its leader belongs to none below ours
  char state = '?';                   // R S D Z T t X
  uint64_t start_time_ticks = 0;      // since boot; with the PID it identifies a process
  std::string command;                // comm, at most 15 bytes, may hold anything
  std::vector<pid_t> namespace_pids;  // NSpid: ours first, the innermost last
  uint32_t uid = 0;                   // real uid
  int tracer_pid = 0;
};

// "process 4711 (sleep)", printable.
std::string NameOf(const ProcessInfo& process);
// It has ended, and runs nothing any more.
inline bool IsZombie(const ProcessInfo& process) {
  return process.state == 'Z' || process.state == 'X';
}

// What stands after "<key>:" in a text of such lines, as /proc/<pid>/status is one.
// Errors: kDataLoss (there is none).
Result<std::string_view> FieldOf(std::string_view text, std::string_view key);
// The first `count` words of it as numbers. Errors: kDataLoss.
template <typename T>
Status ReadField(std::string_view text, std::string_view key, T* numbers, size_t count = 1,
                 int base = 10) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string_view field, FieldOf(text, key));
  const std::vector<std::string_view> words = SplitWords(field);
  bool parsed = words.size() >= count;
  for (size_t i = 0; parsed && i < count; ++i) parsed = ParseNumber(words[i], numbers[i], base);
  return parsed ? Status() : Status(Code::kDataLoss, std::string(key) + " is no number");
}

// Errors: kNotFound when there is no such task.
Result<ProcessInfo> ReadProcessInfo(pid_t pid);
Result<std::vector<pid_t>> ListThreads(pid_t pid);
// The children of all its threads, also those that have ended and are not waited for. Empty on a
// kernel that does not tell (CONFIG_PROC_CHILDREN).
Result<std::vector<pid_t>> ListChildren(pid_t pid);
// The process that a thread belongs to (Tgid).
Result<pid_t> ReadThreadGroup(pid_t thread);
// Does this process trace any other, as CRIU does while it holds one?
bool TracesAnyone(pid_t tracer);
Result<ProcessInfo> ParseProcStat(std::string_view text);

// One timer of timer_create(2) in /proc/<pid>/timers. Source: proc_pid_timers(5).
struct PosixTimer {
  int id = 0;
  pid_t thread = 0;  // that SIGEV_THREAD_ID names, numbered in our namespace; 0: another kind
  int clock = 0;     // negative: a CPU clock, as the kernel encodes it
};
// Errors: kNotFound when there is no such process, or the kernel does not tell
// (CONFIG_CHECKPOINT_RESTORE).
Result<std::vector<PosixTimer>> ReadPosixTimers(pid_t pid);
Result<std::vector<PosixTimer>> ParsePosixTimers(std::string_view text);

// One mapping of /proc/<pid>/maps that a file backs.
struct FileMapping {
  std::string permissions;  // "rw-s"
  std::string path;         // as the process sees it; " (deleted)" stays
};
Result<std::vector<FileMapping>> ReadFileMappings(pid_t pid);

// Target of /proc/<pid>/<name>: "root", "fd/0", "ns/net". Errors: kNotFound.
Result<std::string> ReadProcLink(pid_t pid, const std::string& name);
// Inode of /proc/<pid>/ns/<name>: two processes share the namespace when it is equal.
Result<uint64_t> NamespaceInode(pid_t pid, const std::string& name);
Result<uint64_t> NamespaceInode(const std::string& path);

// Numbers of the open descriptors.
Result<std::vector<int>> ListDescriptors(pid_t pid);

// Bytes that a dump of the process would hold: anonymous, shmem and dirty private file pages, also
// those that are swapped out (smaps_rollup: Anonymous + Pss_Shmem + SwapPss). 0 for a process
// without memory.
Result<uint64_t> DumpableBytes(pid_t pid);

// MemAvailable of /proc/meminfo.
Result<uint64_t> AvailableMemoryBytes();

// Capability sets as bit masks, bit n for capability number n.
struct CapabilitySets {
  uint64_t inheritable = 0;
  uint64_t permitted = 0;
  uint64_t effective = 0;
  uint64_t bounding = 0;
  uint64_t ambient = 0;

  bool operator==(const CapabilitySets&) const = default;
};

// What one task may do, as the kernel says. Source: proc_pid_status(5).
struct TaskCredentials {
  uint32_t uids[4] = {};  // real, effective, saved, file system
  uint32_t gids[4] = {};
  std::vector<uint32_t> groups;  // supplementary
  CapabilitySets capabilities;
  bool no_new_privs = false;
  int seccomp_mode = 0;  // 0 none, 1 strict, 2 filter
};

// Errors: kNotFound when there is no such task.
Result<TaskCredentials> ReadTaskCredentials(pid_t task);
Result<TaskCredentials> ParseTaskCredentials(std::string_view status_text);

// "CAP_NET_ADMIN" → 12; nothing for a name that this program does not know.
// Source: capabilities(7), <linux/capability.h>.
std::optional<int> CapabilityNumber(std::string_view name);
// The lowest capability of a mask that is not empty, by name.
std::string FirstCapabilityName(uint64_t mask);

}  // namespace cryopod
