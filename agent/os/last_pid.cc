#include "agent/os/last_pid.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>
#include <utility>

#include "agent/os/signal_mask.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

constexpr char kLastPidFile[] = "/proc/sys/kernel/ns_last_pid";
constexpr int kChildSocket = 3;
constexpr size_t kAnswerBytesMax = 64;

void Reap(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// Between fork and exit: system calls only, since other threads may have held any lock.
[[noreturn]] void ServeInside(int socket) {
  ::dup2(socket, kChildSocket);
  // The images of the pod are none of its business, and would keep their file system busy.
  ::syscall(SYS_close_range, kChildSocket + 1, ~0U, 0);
  std::array<char, kAnswerBytesMax> text{};
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
    pollfd one{socket, POLLIN, 0};
    const int ready = ::poll(&one, 1, deadline.poll_timeout_ms());
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll", "");
    if (ready == 0 && deadline.expired()) {
      return Status(Code::kDeadlineExceeded, "the process in the PID namespace does not answer");
    }
    if (ready <= 0) continue;
    const ssize_t got = ::recv(socket, buffer, size, 0);
    if (got > 0) return static_cast<size_t>(got);
    if (got < 0 && errno == EINTR) continue;
    return Status(Code::kUnavailable, "the process in the PID namespace has been ended");
  }
}

}  // namespace

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
  std::array<char, kAnswerBytesMax> text{};
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
