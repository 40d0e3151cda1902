#include "agent/os/namespaces.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
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

constexpr char kLastPidFile[] = "/proc/sys/kernel/ns_last_pid";
constexpr int kChildSocket = 3;
constexpr size_t kLastPidBytesMax = 64;

// The answer on the pipe: one byte with the code, then the bytes of the result or the message.
[[noreturn]] void SendAnswer(int pipe_fd, const Result<std::string>& answer) {
  const Status status = answer.status();
  const std::string code(1, static_cast<char>(status.code()));
  // When the parent has gone nobody is left to be told.
  const Status sent = WriteAll(pipe_fd, code + (answer.ok() ? *answer : status.message()));
  ::_exit(sent.ok() ? 0 : 1);
}

Result<std::string> DecodeAnswer(const std::string& wire) {
  if (wire.empty())
    return Status(Code::kInternal, "the child in the namespace ended without a word");
  const Code code = CodeFromNumber(static_cast<unsigned char>(wire[0]));
  if (code == Code::kOk) return wire.substr(1);
  return Status(code, wire.substr(1));
}

// Kills a child that has not ended at the deadline.
void EndAndReap(pid_t pid, Deadline deadline) {
  const Result<UniqueFd> pidfd = OpenPidfd(pid);
  if (!pidfd.ok() || !PidfdEnded(pidfd->get(), deadline)) ::kill(pid, SIGKILL);
  Reap(pid);
}

// In the first child, for a PID namespace: only children enter it. Ends its child at the deadline
// itself, so that the dead one does not stay behind as somebody else's orphan.
[[noreturn]] void ForkIntoPidNamespace(int pipe_fd, const std::function<Result<std::string>()>& act,
                                       Deadline deadline) {
  const Result<UniqueFd> self = OpenPidfd(::getpid());
  const pid_t pid = ::fork();
  if (pid < 0 && errno == ENOMEM) {
    SendAnswer(pipe_fd, Status(Code::kFailedPrecondition,
                               "fork into the PID namespace: its first process has ended"));
  }
  if (pid < 0) SendAnswer(pipe_fd, ErrnoStatus(errno, "fork into the PID namespace", ""));
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    // getppid() is 0 here whether the parent lives or not.
    if (self.ok() && PidfdEnded(self->get(), Deadline::After(std::chrono::seconds(0)))) ::_exit(1);
    SendAnswer(pipe_fd, act());
  }
  EndAndReap(pid, deadline);
  ::_exit(0);
}

[[noreturn]] void RunChild(int ns_fd, int ns_type, int pipe_fd,
                           const std::function<Result<std::string>()>& act, Deadline deadline) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::setns(ns_fd, ns_type) != 0) SendAnswer(pipe_fd, ErrnoStatus(errno, "setns", ""));
  if (ns_type == CLONE_NEWPID) ForkIntoPidNamespace(pipe_fd, act, deadline);
  SendAnswer(pipe_fd, act());
}

// Reads until every writer has closed.
Result<std::string> ReadUntilClosed(int pipe_fd, Deadline deadline) {
  std::string wire;
  std::array<char, 16384> buffer;
  while (true) {
    CRYOPOD_RETURN_IF_ERROR(
        WaitReady(pipe_fd, POLLIN, deadline, "the child in the namespace was killed"));
    const ssize_t got = ::read(pipe_fd, buffer.data(), buffer.size());
    if (got < 0 && errno != EINTR) return ErrnoStatus(errno, "read", "");
    if (got == 0) return wire;
    if (got > 0) wire.append(buffer.data(), static_cast<size_t>(got));
    if (wire.size() > kAnswerBytesMax) {
      return Status(Code::kResourceExhausted, "the child in the namespace answered too much");
    }
  }
}

Result<std::string> ReadSysVIpc() {
  std::string lines;
  for (const std::string kind : {"shm", "msg", "sem"}) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string table, ReadFile("/proc/sysvipc/" + kind));
    const std::vector<std::string_view> rows = SplitLines(table);
    for (size_t i = 1; i < rows.size(); ++i) {  // the first row is the header
      const std::vector<std::string_view> words = SplitWords(rows[i]);
      int32_t key = 0;
      if (words.size() < 2 || !ParseNumber(words[0], key)) {
        return Status(Code::kDataLoss, "/proc/sysvipc/" + kind + ": unknown form");
      }
      std::array<char, 16> hex{};
      ::snprintf(hex.data(), hex.size(), "0x%x", static_cast<unsigned>(key));
      lines += kind + " key " + hex.data() + " id " + std::string(words[1]) + "\n";
    }
  }
  return lines;
}

// Between fork and exit: system calls only, since other threads may have held any lock.
[[noreturn]] void ServeInside(int socket) {
  ::dup2(socket, kChildSocket);
  // The images of the pod are none of its business, and would keep their file system busy.
  ::syscall(SYS_close_range, kChildSocket + 1, ~0U, 0);
  std::array<char, kLastPidBytesMax> text{};
  while (::recv(kChildSocket, text.data(), 1, 0) == 1) {
    const int file = ::open(kLastPidFile, O_RDONLY | O_CLOEXEC);
    const ssize_t length = ::read(file, text.data(), text.size());
    ::close(file);
    if (length <= 0 ||
        ::send(kChildSocket, text.data(), static_cast<size_t>(length), MSG_NOSIGNAL) != length) {
      break;
    }
  }
  ::_exit(0);
}

// Only children enter a PID namespace. This process stays between, to reap its child at once: until
// somebody has, the end of the namespace's first process would wait for it.
[[noreturn]] void SendInside(int pid_ns_fd, int socket) {
  pid_t inside = -1;
  if (::setns(pid_ns_fd, CLONE_NEWPID) == 0) inside = ::fork();
  if (inside == 0) ServeInside(socket);
  const int error = inside < 0 ? errno : 0;
  static_cast<void>(::send(socket, &error, sizeof error, MSG_NOSIGNAL));
  // The end of the one inside is to be seen on the other side of the socket.
  ::syscall(SYS_close_range, kChildSocket, ~0U, 0);
  if (inside > 0) Reap(inside);
  ::_exit(0);
}

// One message, or kUnavailable at the end of the stream.
Result<size_t> Receive(int socket, void* buffer, size_t size, Deadline deadline) {
  while (true) {
    CRYOPOD_RETURN_IF_ERROR(
        WaitReady(socket, POLLIN, deadline, "the process in the PID namespace"));
    const ssize_t got = ::recv(socket, buffer, size, 0);
    if (got > 0) return static_cast<size_t>(got);
    if (got < 0 && errno == EINTR) continue;
    return Status(Code::kUnavailable, "the process in the PID namespace has been ended");
  }
}

}  // namespace

Result<std::string> RunInNamespace(int ns_fd, int ns_type,
                                   const std::function<Result<std::string>()>& act,
                                   Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
  pid_t pid = -1;
  {
    const BlockedSignals blocked;
    pid = ::fork();
    if (pid == 0) RunChild(ns_fd, ns_type, pipe.write_end.get(), act, deadline);
  }
  if (pid < 0) return ErrnoStatus(errno, "fork", "");
  pipe.write_end.Reset();
  Result<std::string> wire = ReadUntilClosed(pipe.read_end.get(), deadline);
  // A child that has one of its own ends that one first, at the same deadline.
  const bool ends_by_itself = wire.ok() || ns_type == CLONE_NEWPID;
  EndAndReap(pid, Deadline::After(ends_by_itself ? kGrace : std::chrono::seconds(0)));
  if (!wire.ok()) return wire;
  // That one ended its own at the deadline, and was seen to go before the deadline was seen here.
  if (wire->empty() && deadline.expired()) {
    return Status(Code::kDeadlineExceeded, "the child in the namespace was killed");
  }
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

Result<LastPid> LastPid::Enter(int pid_ns_fd, Deadline deadline) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return ErrnoStatus(errno, "socketpair", "");
  }
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  pid_t between = -1;
  {
    const BlockedSignals blocked;
    between = ::fork();
    if (between == 0) {
      ours.Reset();
      SendInside(pid_ns_fd, theirs.get());
    }
  }
  if (between < 0) return ErrnoStatus(errno, "fork", "");
  theirs.Reset();
  LastPid last(between, std::move(ours));
  int error = 0;
  CRYOPOD_ASSIGN_OR_RETURN(const size_t size,
                           Receive(last.socket_.get(), &error, sizeof error, deadline)
                               .While("entering the PID namespace"));
  if (size != sizeof error) {
    return Status(Code::kInternal, "entering the PID namespace: no answer");
  }
  if (error == ENOMEM) {
    return Status(Code::kFailedPrecondition,
                  "entering the PID namespace: its first process has ended");
  }
  if (error != 0) return ErrnoStatus(error, "entering", "the PID namespace");
  return last;
}

LastPid::LastPid(LastPid&& other) noexcept
    : between_(std::exchange(other.between_, -1)), socket_(std::move(other.socket_)) {}

LastPid::~LastPid() {
  if (between_ <= 0) return;
  socket_.Reset();
  Reap(between_);
}

Result<pid_t> LastPid::Read(Deadline deadline) const {
  if (::send(socket_.get(), "?", 1, MSG_NOSIGNAL) != 1) {
    return Status(Code::kUnavailable, "the process in the PID namespace has been ended");
  }
  std::array<char, kLastPidBytesMax> text{};
  CRYOPOD_ASSIGN_OR_RETURN(const size_t size,
                           Receive(socket_.get(), text.data(), text.size(), deadline));
  pid_t pid = 0;
  const std::string_view line(text.data(), size);
  if (!ParseNumber(line.substr(0, line.find('\n')), pid)) {
    return Status(Code::kDataLoss, std::string(kLastPidFile) + " holds no number");
  }
  return pid;
}

}  // namespace cryopod
