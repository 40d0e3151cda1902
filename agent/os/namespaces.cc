#include "agent/os/namespaces.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>

#include "agent/os/file.h"
#include "agent/os/signal_mask.h"
#include "agent/os/subprocess.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

constexpr size_t kAnswerBytesMax = size_t{4} << 20;
// A child that must end its own child first gets this much longer than the deadline.
constexpr auto kGrace = std::chrono::seconds(1);

// The answer on the pipe: one byte with the code, then the bytes of the result or the message.
void SendAnswer(int pipe_fd, const Result<std::string>& answer) {
  const Status status = answer.status();
  std::string wire(1, static_cast<char>(status.code()));
  wire += answer.ok() ? *answer : status.message();
  // When the parent has gone nobody is left to be told.
  const Status sent = WriteAll(pipe_fd, wire);
  ::_exit(sent.ok() ? 0 : 1);
}

Result<std::string> DecodeAnswer(const std::string& wire) {
  if (wire.empty())
    return Status(Code::kInternal, "the child in the namespace ended without a word");
  const Code code = CodeFromNumber(static_cast<unsigned char>(wire[0]));
  if (code == Code::kOk) return wire.substr(1);
  return Status(code, wire.substr(1));
}

void Reap(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// In the first child, for a PID namespace: only children enter it. Ends its child at the deadline
// itself, so that the dead one does not stay behind as somebody else's orphan.
[[noreturn]] void ForkIntoPidNamespace(int pipe_fd, const std::function<Result<std::string>()>& act,
                                       Deadline deadline) {
  const UniqueFd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  const pid_t pid = ::fork();
  if (pid < 0 && errno == ENOMEM) {
    SendAnswer(pipe_fd, Status(Code::kFailedPrecondition,
                               "fork into the PID namespace: its first process has ended"));
  }
  if (pid < 0) SendAnswer(pipe_fd, ErrnoStatus(errno, "fork into the PID namespace", ""));
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    // getppid() is 0 here whether the parent lives or not.
    if (PidfdEnded(self.get(), Deadline::After(std::chrono::seconds(0)))) ::_exit(1);
    SendAnswer(pipe_fd, act());
  }
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid() || !PidfdEnded(pidfd.get(), deadline)) ::kill(pid, SIGKILL);
  Reap(pid);
  ::_exit(0);
}

[[noreturn]] void RunChild(int ns_fd, int ns_type, int pipe_fd,
                           const std::function<Result<std::string>()>& act, Deadline deadline) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::setns(ns_fd, ns_type) != 0) SendAnswer(pipe_fd, ErrnoStatus(errno, "setns", ""));
  if (ns_type == CLONE_NEWPID) ForkIntoPidNamespace(pipe_fd, act, deadline);
  SendAnswer(pipe_fd, act());
  ::_exit(1);  // not reached
}

// Reads until every writer has closed. False at the deadline.
Result<std::string> ReadUntilClosed(int pipe_fd, Deadline deadline) {
  std::string wire;
  std::array<char, 16384> buffer;
  while (true) {
    pollfd one{pipe_fd, POLLIN, 0};
    const int ready = ::poll(&one, 1, deadline.poll_timeout_ms());
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll", "");
    if (ready == 0 && deadline.expired()) {
      return Status(Code::kDeadlineExceeded,
                    "the child in the namespace was killed: no answer in time");
    }
    if (ready <= 0) continue;
    const ssize_t got = ::read(pipe_fd, buffer.data(), buffer.size());
    if (got < 0 && errno != EINTR) return ErrnoStatus(errno, "read", "");
    if (got == 0) return wire;
    if (got > 0) wire.append(buffer.data(), static_cast<size_t>(got));
    if (wire.size() > kAnswerBytesMax) {
      return Status(Code::kResourceExhausted, "the child in the namespace answered too much");
    }
  }
}

Result<std::string> DescribeSysVIpc(std::string_view kind, std::string_view table) {
  std::string lines;
  const std::vector<std::string_view> rows = SplitLines(table);
  for (size_t i = 1; i < rows.size(); ++i) {  // the first row is the header
    const std::vector<std::string_view> words = SplitWords(rows[i]);
    int32_t key = 0;
    if (words.size() < 2 || !ParseNumber(words[0], key)) {
      return Status(Code::kDataLoss, "/proc/sysvipc/" + std::string(kind) + ": unknown form");
    }
    std::array<char, 16> hex{};
    ::snprintf(hex.data(), hex.size(), "0x%x", static_cast<unsigned>(key));
    lines += std::string(kind) + " key " + hex.data() + " id " + std::string(words[1]) + "\n";
  }
  return lines;
}

Result<std::string> ReadSysVIpc() {
  std::string lines;
  for (const std::string kind : {"shm", "msg", "sem"}) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string table, ReadFile("/proc/sysvipc/" + kind));
    CRYOPOD_ASSIGN_OR_RETURN(const std::string found, DescribeSysVIpc(kind, table));
    lines += found;
  }
  return lines;
}

}  // namespace

Result<std::string> RunInNamespace(int ns_fd, int ns_type,
                                   const std::function<Result<std::string>()>& act,
                                   Deadline deadline) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe", "");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  pid_t pid = -1;
  {
    const BlockedSignals blocked;
    pid = ::fork();
    if (pid == 0) RunChild(ns_fd, ns_type, write_end.get(), act, deadline);
  }
  if (pid < 0) return ErrnoStatus(errno, "fork", "");
  write_end.Reset();
  Result<std::string> wire = ReadUntilClosed(read_end.get(), deadline);
  // A child that has one of its own ends that one first, at the same deadline.
  const bool ends_by_itself = wire.ok() || ns_type == CLONE_NEWPID;
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const Deadline grace = Deadline::After(ends_by_itself ? kGrace : std::chrono::seconds(0));
  if (!pidfd.valid() || !PidfdEnded(pidfd.get(), grace)) ::kill(pid, SIGKILL);
  Reap(pid);
  if (!wire.ok()) return wire;
  return DecodeAnswer(*wire);
}

Result<std::string> ReadHostname(int uts_ns_fd, Deadline deadline) {
  const auto act = []() -> Result<std::string> {
    utsname names{};
    if (::uname(&names) != 0) return ErrnoStatus(errno, "uname", "");
    return std::string(names.nodename);
  };
  return RunInNamespace(uts_ns_fd, CLONE_NEWUTS, act, deadline).While("reading the host name");
}

Status WriteHostname(int uts_ns_fd, const std::string& hostname, Deadline deadline) {
  const auto act = [&hostname]() -> Result<std::string> {
    if (::sethostname(hostname.data(), hostname.size()) != 0) {
      return ErrnoStatus(errno, "sethostname", hostname);
    }
    return std::string();
  };
  return RunInNamespace(uts_ns_fd, CLONE_NEWUTS, act, deadline)
      .While("setting the host name")
      .status();
}

Result<std::string> ListSysVIpc(int ipc_ns_fd, Deadline deadline) {
  // These files show the namespace of the process that opens them.
  return RunInNamespace(ipc_ns_fd, CLONE_NEWIPC, ReadSysVIpc, deadline)
      .While("listing System V IPC objects");
}

}  // namespace cryopod
