#include "agent/os/proc.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "agent/os/directory.h"
#include "agent/os/file.h"

namespace cryopod {
namespace {

constexpr std::string_view kCapabilityPrefix = "CAP_";
// By number, without the prefix.
constexpr std::string_view kCapabilityNames =
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP "
    "LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER "
    "SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE "
    "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF "
    "CHECKPOINT_RESTORE";

std::string ProcPath(pid_t pid, const std::string& name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

Status Malformed(std::string_view file) {
  return Status(Code::kDataLoss, std::string(file) + ": not in the form of proc(5)");
}

Status ParseProcStatus(std::string_view text, ProcessInfo& info) {
  CRYOPOD_RETURN_IF_ERROR(ReadField(text, "Uid", &info.uid));
  CRYOPOD_RETURN_IF_ERROR(ReadField(text, "TracerPid", &info.tracer_pid));
  CRYOPOD_ASSIGN_OR_RETURN(const std::string_view pids, FieldOf(text, "NSpid"));
  return ParseNumbers(pids, info.namespace_pids) ? Status() : Malformed("status NSpid");
}

Result<std::vector<int>> ListNumbers(const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(path));
  std::vector<int> numbers;
  numbers.reserve(entries.size());
  for (const DirectoryEntry& entry : entries) {
    int number = 0;
    if (ParseNumber(entry.name, number)) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

// "Anonymous:            1234 kB" → 1234 * 1024.
Result<uint64_t> KilobyteField(std::string_view text, std::string_view key) {
  uint64_t kilobytes = 0;
  CRYOPOD_RETURN_IF_ERROR(ReadField(text, key, &kilobytes));
  return kilobytes * 1024;
}

}  // namespace

Result<std::string_view> FieldOf(std::string_view text, std::string_view key) {
  for (const std::string_view line : SplitLines(text)) {
    if (line.starts_with(key) && line.substr(key.size(), 1) == ":") {
      return line.substr(key.size() + 1);
    }
  }
  return Status(Code::kDataLoss, "no line " + std::string(key));
}

Result<ProcessInfo> ParseProcStat(std::string_view text) {
  // The command stands in brackets and may hold brackets, blanks and newlines itself.
  const size_t open = text.find(" (");
  const size_t close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open + 2) {
    return Malformed("stat");
  }
  const std::vector<std::string_view> fields = SplitWords(text.substr(close + 1));
  // Field 3 of proc(5) is the first here; the start time is field 22.
  constexpr size_t kStartTime = 22 - 3;
  ProcessInfo info;
  if (fields.size() <= kStartTime || fields[0].size() != 1 ||
      !ParseNumber(text.substr(0, open), info.pid) || !ParseNumber(fields[1], info.parent_pid) ||
      !ParseNumber(fields[2], info.group) || !ParseNumber(fields[3], info.session) ||
      !ParseNumber(fields[kStartTime], info.start_time_ticks)) {
    return Malformed("stat");
  }
  info.state = fields[0][0];
  info.command = text.substr(open + 2, close - open - 2);
  return info;
}

std::string NameOf(const ProcessInfo& process) {
  return "process " + std::to_string(process.pid) + " (" + Printable(process.command) + ")";
}

Result<ProcessInfo> ReadProcessInfo(pid_t pid) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string stat, ReadFile(ProcPath(pid, "stat")));
  CRYOPOD_ASSIGN_OR_RETURN(const std::string status, ReadFile(ProcPath(pid, "status")));
  CRYOPOD_ASSIGN_OR_RETURN(ProcessInfo info, ParseProcStat(stat));
  CRYOPOD_RETURN_IF_ERROR(ParseProcStatus(status, info));
  return info;
}

Result<std::vector<pid_t>> ListThreads(pid_t pid) { return ListNumbers(ProcPath(pid, "task")); }

Result<std::vector<pid_t>> ListChildren(pid_t pid) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> threads, ListThreads(pid));
  std::vector<pid_t> children;
  for (const pid_t thread : threads) {
    const Result<std::string> text =
        ReadFile(ProcPath(pid, "task/" + std::to_string(thread) + "/children"));
    if (text.ok() && !ParseNumbers(*text, children)) return Malformed("children");
  }
  return children;
}

bool TracesAnyone(pid_t tracer) {
  const Result<std::vector<DirectoryEntry>> entries = ListDirectory("/proc");
  return entries.ok() && std::ranges::any_of(*entries, [tracer](const DirectoryEntry& entry) {
           pid_t pid = 0;
           if (!ParseNumber(entry.name, pid)) return false;
           const Result<ProcessInfo> process = ReadProcessInfo(pid);
           return process.ok() && process->tracer_pid == tracer;
         });
}

Result<pid_t> ReadThreadGroup(pid_t thread) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string status, ReadFile(ProcPath(thread, "status")));
  pid_t process = 0;
  CRYOPOD_RETURN_IF_ERROR(ReadField(status, "Tgid", &process));
  return process;
}

// "ID: 0", "signal: 10/0000000000000000", "notify: signal/tid.17", "ClockID: 1", again and again.
Result<std::vector<PosixTimer>> ParsePosixTimers(std::string_view text) {
  std::vector<PosixTimer> timers;
  for (const std::string_view line : SplitLines(text)) {
    const std::vector<std::string_view> words = SplitWords(line);
    if (words.size() != 2) continue;
    if (words[0] == "ID:") timers.emplace_back();
    if (timers.empty()) return Malformed("timers");
    PosixTimer& timer = timers.back();
    bool parsed = true;
    if (words[0] == "ID:") parsed = ParseNumber(words[1], timer.id);
    if (words[0] == "ClockID:") parsed = ParseNumber(words[1], timer.clock);
    const size_t thread = words[1].find("/tid.");
    if (words[0] == "notify:" && thread != std::string_view::npos) {
      parsed = ParseNumber(words[1].substr(thread + 5), timer.thread);
    }
    if (!parsed) return Malformed("timers");
  }
  return timers;
}

Result<std::vector<PosixTimer>> ReadPosixTimers(pid_t pid) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile(ProcPath(pid, "timers")));
  return ParsePosixTimers(text);
}

Result<std::vector<FileMapping>> ReadFileMappings(pid_t pid) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile(ProcPath(pid, "maps")));
  std::vector<FileMapping> mappings;
  for (const std::string_view line : SplitLines(text)) {
    const size_t slash = line.find('/');
    const size_t blank = line.find(' ');
    if (slash == std::string_view::npos || blank == std::string_view::npos || blank > slash)
      continue;
    FileMapping mapping;
    mapping.permissions = line.substr(blank + 1, 4);
    // Only a newline is escaped in this file, so nothing else may be unescaped.
    mapping.path = line.substr(slash);
    for (size_t at = mapping.path.find("\\012"); at != std::string::npos;
         at = mapping.path.find("\\012", at + 1)) {
      mapping.path.replace(at, 4, "\n");
    }
    mappings.push_back(std::move(mapping));
  }
  return mappings;
}

Result<std::string> ReadProcLink(pid_t pid, const std::string& name) {
  return ReadLinkAt(AT_FDCWD, ProcPath(pid, name));
}

Result<uint64_t> NamespaceInode(pid_t pid, const std::string& name) {
  return NamespaceInode(ProcPath(pid, "ns/" + name));
}

Result<uint64_t> NamespaceInode(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, "stat", path);
  return uint64_t{info.st_ino};
}

Result<std::vector<int>> ListDescriptors(pid_t pid) { return ListNumbers(ProcPath(pid, "fd")); }

Result<uint64_t> DumpableBytes(pid_t pid) {
  Result<std::string> text = ReadFile(ProcPath(pid, "smaps_rollup"));
  if (!text.ok()) {
    // A zombie or a kernel thread has an entry but no memory: reading says "no such process" too.
    const bool has_none = text.status().code() == Code::kNotFound && PathExists(ProcPath(pid, ""));
    return has_none ? Result<uint64_t>(0) : text.status();
  }
  if (text->empty()) return uint64_t{0};
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t anonymous, KilobyteField(*text, "Anonymous"));
  // Kernels before 5.4 do not tell shared memory apart.
  const Result<uint64_t> shmem = KilobyteField(*text, "Pss_Shmem");
  const Result<uint64_t> swapped = KilobyteField(*text, "SwapPss");
  return anonymous + (shmem.ok() ? *shmem : 0) + (swapped.ok() ? *swapped : 0);
}

Result<uint64_t> AvailableMemoryBytes() {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile("/proc/meminfo"));
  return KilobyteField(text, "MemAvailable").While("/proc/meminfo");
}

Result<TaskCredentials> ParseTaskCredentials(std::string_view text) {
  TaskCredentials credentials;
  CapabilitySets& sets = credentials.capabilities;
  int no_new_privs = 0;
  CRYOPOD_RETURN_IF_ERROR(ReadField(text, "Uid", credentials.uids, 4));
  CRYOPOD_RETURN_IF_ERROR(ReadField(text, "Gid", credentials.gids, 4));
  CRYOPOD_RETURN_IF_ERROR(ReadField(text, "CapInh", &sets.inheritable, 1, 16));
  CRYOPOD_RETURN_IF_ERROR(ReadField(text, "CapPrm", &sets.permitted, 1, 16));
  CRYOPOD_RETURN_IF_ERROR(ReadField(text, "CapEff", &sets.effective, 1, 16));
  CRYOPOD_RETURN_IF_ERROR(ReadField(text, "CapBnd", &sets.bounding, 1, 16));
  CRYOPOD_RETURN_IF_ERROR(ReadField(text, "CapAmb", &sets.ambient, 1, 16));
  CRYOPOD_RETURN_IF_ERROR(ReadField(text, "NoNewPrivs", &no_new_privs));
  CRYOPOD_RETURN_IF_ERROR(ReadField(text, "Seccomp", &credentials.seccomp_mode));
  credentials.no_new_privs = no_new_privs != 0;
  CRYOPOD_ASSIGN_OR_RETURN(const std::string_view groups, FieldOf(text, "Groups"));
  if (ParseNumbers(groups, credentials.groups)) return credentials;
  return Status(Code::kDataLoss, "Groups has what is no number");
}

Result<TaskCredentials> ReadTaskCredentials(pid_t task) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile(ProcPath(task, "status")));
  return ParseTaskCredentials(text).While("/proc status");
}

std::optional<int> CapabilityNumber(std::string_view name) {
  if (!name.starts_with(kCapabilityPrefix)) return std::nullopt;
  const std::vector<std::string_view> names = SplitWords(kCapabilityNames);
  const auto found = std::ranges::find(names, name.substr(kCapabilityPrefix.size()));
  if (found == names.end()) return std::nullopt;
  return static_cast<int>(found - names.begin());
}

std::string FirstCapabilityName(uint64_t mask) {
  const auto lowest = static_cast<size_t>(std::countr_zero(mask));
  const std::vector<std::string_view> names = SplitWords(kCapabilityNames);
  if (lowest >= names.size()) return "a capability without a name";
  return std::string(kCapabilityPrefix).append(names[lowest]);
}

}  // namespace cryopod
