#include "agent/criu/criu_log.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>

#include "agent/os/text.h"

namespace cryopod::criu {
namespace {

constexpr size_t kLogBytesMax = size_t{4} << 20;

// A line of CRIU's log that holds `first` and `second` means `sentence`.
struct Pattern {
  std::string_view first;
  std::string_view second;  // may be empty
  Code code;
  Reason reason;
  std::string_view sentence;
};

constexpr Code kUnsupported = Code::kFailedPrecondition;

// Wordings of CRIU 4.2.1, most of them provoked on Linux 6.18. The first line of the log that fits
// decides; among patterns that fit one line the first does, so narrow ones stand before wide ones.
constexpr Pattern kPatterns[] = {
    {"No space left on device", "", Code::kResourceExhausted, Reason::kNoSpace,
     "the file system that CRIU writes to is full: free space there, or give the staging area "
     "more"},
    {"Disk quota exceeded", "", Code::kResourceExhausted, Reason::kNoSpace,
     "the file system that CRIU writes to is full: raise its quota"},
    {"Can't get rlimit", "Operation not permitted", Code::kPermissionDenied, Reason::kPermission,
     "CRIU may not read the limits of a process of another user: give the agent CAP_SYS_RESOURCE"},
    {"send_fds failed (-22)", "", kUnsupported, Reason::kIoUring,
     "a process has a descriptor that cannot be handed on, as those of io_uring cannot: stop using "
     "io_uring in the container"},
    {"io_uring", "", kUnsupported, Reason::kIoUring,
     "a process uses io_uring, which cannot be saved: stop using it in the container"},
    {"Unable to interrupt task", "Operation not permitted", kUnsupported, Reason::kTraced,
     "a process is traced already, or its first thread has ended: detach the debugger or tracer"},
    {"Unable to interrupt task", "No such process", Code::kNotFound, Reason::kPodChanged,
     "the process to dump does not exist any more"},
    {"Unseizable non-zombie", "", kUnsupported, Reason::kNotStoppable,
     "a process waits in the kernel and cannot be stopped: try again when it has gone on"},
    {"Unable to freeze cgroup", "", Code::kDeadlineExceeded, Reason::kNotStoppable,
     "the cgroup of the container did not freeze in time: a process waits in the kernel"},
    {"Timeout reached", "", Code::kDeadlineExceeded, Reason::kNotStoppable,
     "the processes of the container could not be stopped in time"},
    {"External socket is used", "", kUnsupported, Reason::kExternalSocket,
     "a process is connected to a unix socket outside the container: close the connection, or let "
     "the other end be part of the container"},
    {"Can't dump half of stream unix connection", "", kUnsupported, Reason::kExternalSocket,
     "a process is connected to a unix socket outside the container: close the connection"},
    {"Can't dump name-less external socket", "", kUnsupported, Reason::kExternalSocket,
     "a process has a unix socket pair whose other end is outside the container"},
    {"with unreachable peer", "", kUnsupported, Reason::kExternalSocket,
     "a process sends to a unix socket outside the container"},
    {"Can't dump ghost file", "increase limit", kUnsupported, Reason::kDeletedFile,
     "a process holds a deleted file of more than 64 MiB open: close it, or do not delete it"},
    {"packetized mode for pipes", "", kUnsupported, Reason::kUnsupportedDescriptor,
     "a process uses a pipe of packets (O_DIRECT): use a socket, or a pipe without O_DIRECT"},
    {"Can't create link remap", "", kUnsupported, Reason::kDeletedFile,
     "a process holds a file open under a name that was deleted while the file has another name: "
     "close it, or keep the name"},
    {"Unsupported proto 262", "", kUnsupported, Reason::kUnsupportedSocket,
     "a process uses multipath TCP: turn it off (GODEBUG=multipathtcp=0 for Go programs)"},
    {"Unsupported proto", "", kUnsupported, Reason::kUnsupportedSocket,
     "a process has a socket of an unsupported protocol"},
    {"Connected TCP socket, consider", "", kUnsupported, Reason::kTcpConnection,
     "a process has an established TCP connection: close it before the checkpoint"},
    {"In-flight connection", "", kUnsupported, Reason::kTcpConnection,
     "a connection waits to be accepted: try again"},
    {"Can't dump corked dgram socket", "", kUnsupported, Reason::kUnsupportedSocket,
     "a process holds an unsent datagram back (UDP_CORK): try again"},
    {"Unknown socket collected (family", "", kUnsupported, Reason::kUnsupportedSocket,
     "a process has a socket of an unsupported family, such as vsock"},
    {"anon_inode:[userfaultfd]", "", kUnsupported, Reason::kUserfaultfd,
     "a process uses userfaultfd"},
    {"anon_inode:[perf_event]", "", kUnsupported, Reason::kUnsupportedDescriptor,
     "a process has a perf event open"},
    {"Can't dump file", "(chr ", kUnsupported, Reason::kDevice,
     "a process has a device open that cannot be saved: close it before the checkpoint"},
    {"Can't dump file", "of that type", kUnsupported, Reason::kUnsupportedDescriptor,
     "a process has a descriptor open of a kind that cannot be saved"},
    {"/secretmem", "", kUnsupported, Reason::kUnsupportedMemory,
     "a process uses secret memory (memfd_secret)"},
    {"pidfd pid", "is not a part of process tree", kUnsupported, Reason::kUnsupportedDescriptor,
     "a process holds a pidfd of a process outside the container"},
    {"Can't dump nested pid namespace", "", kUnsupported, Reason::kNestedNamespace,
     "a process of the container made a PID namespace of its own: end it before the checkpoint"},
    {"Can't dump nested user namespace", "", kUnsupported, Reason::kNestedNamespace,
     "a process of the container made a user namespace of its own: end it before the checkpoint"},
    {"Can't dump nested", "namespace", kUnsupported, Reason::kNestedNamespace,
     "a process of the container made a namespace of its own: end it before the checkpoint"},
    {"Can't lookup mount=", "", kUnsupported, Reason::kFileOutside,
     "a process has a file open that lies outside the container's mounts, such as an inherited log "
     "file, or on a mount that was detached: close it"},
    {"Open files on overmounted mounts", "", kUnsupported, Reason::kFileOutside,
     "a process has a file open that another mount has covered since: close it"},
    {"has unreachable sharing", "", kUnsupported, Reason::kMount,
     "a mount of the container is a slave of a mount outside: mount the volume with private "
     "propagation"},
    {"doesn't have a proper root mount", "", kUnsupported, Reason::kMount,
     "a mount of the container shows a part of a file system whose root is not mounted in it"},
    {"FS mnt", "unsupported id", kUnsupported, Reason::kMount,
     "a mount of the container is of a file system that cannot be saved"},
    {"with SysVIPC shmem map", "", kUnsupported, Reason::kIpcOutside,
     "a process shares System V memory with the node (hostIPC): use an IPC namespace of the pod"},
    {"Can't find suitable path for handle", "", kUnsupported, Reason::kFileWatch,
     "a process watches a file with inotify whose path cannot be found: end the watch"},
    {"Can't dump that handle", "", kUnsupported, Reason::kFileWatch,
     "a process watches a file with inotify whose path CRIU cannot find: end the watch"},
    {"Unresolved lock found", "", kUnsupported, Reason::kFileLock,
     "a file lock belongs to a process outside the container"},
    {"is outside of its pid namespace", "", kUnsupported, Reason::kExecSession,
     "a process belongs to a session that was started from outside (exec): end the exec session"},
    {"ctty inheritance detected", "", kUnsupported, Reason::kExecSession,
     "a process belongs to a terminal session that was started from outside (exec): end it"},
    {"Found dangling tty", "", kUnsupported, Reason::kTerminal,
     "a process has a terminal of an exec session open: end the exec session"},
    {"correspond master peer", "", kUnsupported, Reason::kTerminal,
     "a process has a terminal open whose other side is outside the container"},
    {"OOM storing pipe", "", kUnsupported, Reason::kTooManyPipes,
     "the container has more than 1024 pipes, or named pipes open, and CRIU keeps no more: close "
     "some, or spread the processes over several containers"},
    {"Unable to convert the notify thread id", "", kUnsupported, Reason::kPosixTimer,
     "a process has a timer that signals its first thread, or one that has ended "
     "(SIGEV_THREAD_ID): delete it"},
    {"Can't create posix timer", "", kUnsupported, Reason::kPosixTimer,
     "a process has a timer that cannot be made again, such as one that signals its first thread "
     "(SIGEV_THREAD_ID)"},
    {"Conflict with a dead task", "", kUnsupported, Reason::kProcTaskFile,
     "a process has a file in /proc open of a process that has ended, whose PID is a thread's "
     "now: close it"},
    {"Can't find a session leader", "", kUnsupported, Reason::kOrphanedSession,
     "a child subreaper adopted a process whose session nobody can give back to it"},
    {"Can't figure out which sid", "", kUnsupported, Reason::kOrphanedSession,
     "a child subreaper adopted processes whose sessions nobody can give back to them"},
    {"Requested sid", "doesn't match inherited", kUnsupported, Reason::kOrphanedSession,
     "a child subreaper adopted a process whose session nobody can give back to it"},
    {"Individually stopped threads not supported", "", kUnsupported, Reason::kProcessStopped,
     "a thread of a process is stopped: let it continue"},
    {"Unknown shit", "", kUnsupported, Reason::kUnsupportedMemory,
     "a process has a memory mapping of a kind that cannot be saved"},
    {"Neither a cgroupv1", "", kUnsupported, Reason::kNotStoppable,
     "the cgroup of the container cannot be frozen: it was removed or is not a freezer"},
    {"Can't fork for", "File exists", kUnsupported, Reason::kPidTaken,
     "a PID that the container needs is taken in the PID namespace that it shares with its pod"},
    {"has bad size", "", kUnsupported, Reason::kFileChanged,
     "a file that a process has open has another size than when it was dumped"},
    {"has bad build-ID", "", kUnsupported, Reason::kFileChanged,
     "a program or library of the container is another than when it was dumped: use the same "
     "image"},
    {"Can't open file", "No such file or directory", kUnsupported, Reason::kFileAbsent,
     "a file that a process has open is absent in the new container"},
    {"No mapping for", "mountpoint", kUnsupported, Reason::kMountAbsent,
     "the new container lacks a mount that the dumped one had: give it the same volumes"},
    {"Can't bind inet socket", "", kUnsupported, Reason::kAddress,
     "an address that a process listens on is absent in the new pod, or in use there"},
    {"capabilities do not match run time", "", kUnsupported, Reason::kCpuFeatures,
     "the processor of this node lacks features that the processes were started with"},
    {"Need to set the --tcp-close", "", Code::kInternal, Reason::kInternal,
     "the dump was made with TCP connections closed and the restore was not told so"},
    {"Can't open images directory", "", Code::kInternal, Reason::kInternal,
     "CRIU cannot open the directory for the dump"},
};

// A complaint that CRIU survives: without CAP_SYS_RESOURCE it keeps the limit that it has.
constexpr std::string_view kHarmless = "Can't setup RLIMIT_NOFILE for self";

// Lines that only say that something before them failed.
constexpr std::string_view kFollowers[] = {
    "Dumping FAILED",
    "failed with -1",
    "failed with error",
    "Can't dump misc",
    "Can't cure (pid",
    "Can't infect (pid",
    "Can't dump threads",
    "Unable to detach from",
    "Can't stop daemon in parasite",
    "Message reply from daemon is trimmed",
    "Can't send response",
};

std::string_view NextLine(std::string_view* log) {
  const size_t end = log->find('\n');
  const std::string_view line = log->substr(0, end);
  log->remove_prefix(end == std::string_view::npos ? log->size() : end + 1);
  return line;
}

bool IsFollower(std::string_view line) {
  return std::any_of(std::begin(kFollowers), std::end(kFollowers), [&](std::string_view follower) {
    return line.find(follower) != std::string_view::npos;
  });
}

// "(00.067301) Error (criu/files-reg.c:1790): Can't lookup mount=75" → "Can't lookup mount=75".
std::string_view Message(std::string_view line) {
  const size_t end_of_location = line.find("): ");
  return end_of_location == std::string_view::npos ? line : line.substr(end_of_location + 3);
}

const Pattern* Match(std::string_view line) {
  for (const Pattern& pattern : kPatterns) {
    if (line.find(pattern.first) == std::string_view::npos) continue;
    if (line.find(pattern.second) != std::string_view::npos) return &pattern;
  }
  return nullptr;
}

}  // namespace

Status ReasonFromLog(std::string_view log) {
  if (log.size() > kLogBytesMax) log.remove_prefix(log.size() - kLogBytesMax);
  std::optional<std::string_view> first_unknown;
  std::optional<std::string_view> first_follower;
  while (!log.empty()) {
    const std::string_view line = NextLine(&log);
    const bool is_error = line.find("Error (") != std::string_view::npos;
    // Why a task cannot be stopped is only a warning to CRIU.
    if (!is_error && line.find("Warn  (") == std::string_view::npos) continue;
    if (line.find(kHarmless) != std::string_view::npos) continue;
    if (const Pattern* pattern = Match(line)) {
      return Status(
          pattern->code,
          Printable(std::string(pattern->sentence) + " (CRIU: " + std::string(Message(line)) + ")"),
          pattern->reason);
    }
    if (!is_error) continue;
    std::optional<std::string_view>& first = IsFollower(line) ? first_follower : first_unknown;
    if (!first) first = Message(line);
  }
  if (!first_unknown) first_unknown = first_follower;
  if (!first_unknown) return Status();
  return Status(Code::kUnknown, Printable("CRIU failed: " + std::string(*first_unknown)),
                Reason::kCriuFailed);
}

}  // namespace cryopod::criu
