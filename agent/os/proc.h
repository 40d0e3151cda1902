#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/status.h"

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

// Errors: kNotFound when there is no such task.
Result<ProcessInfo> ReadProcessInfo(pid_t pid);
Result<std::vector<pid_t>> ListThreads(pid_t pid);
// The children of all its threads, also those that have ended and are not waited for. Empty on a
// kernel that does not tell (CONFIG_PROC_CHILDREN).
Result<std::vector<pid_t>> ListChildren(pid_t pid);
// The process that a thread belongs to (Tgid).
Result<pid_t> ReadThreadGroup(pid_t thread);
// Pure parsers of the two files.
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

}  // namespace cryopod
