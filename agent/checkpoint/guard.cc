#include "agent/checkpoint/guard.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <vector>

#include "agent/jobs/job_file.h"

namespace cryopod::checkpoint {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

// How long after the last CRIU has ended the cgroups are looked at once more: CRIU's own FROZEN is
// written before it ends, so anything later than this is not its doing.
constexpr milliseconds kAftermath{500};
constexpr int kAnswerTimeoutMs = 5000;
constexpr seconds kKillTimeout{10};

struct Message {
  char kind = 0;  // 'c' v1 cgroup, 'C' v2 cgroup, 'P' pidfd, 'D' deadline, 'Q' disarm
  int64_t value = 0;
};

class GuardProcess {
 public:
  GuardProcess(int socket, int job_dir_fd) : socket_(socket), job_dir_fd_(job_dir_fd) {}

  [[noreturn]] void Run() {
    while (true) {
      const int timeout_ms = armed_ ? deadline_.poll_timeout_ms() : -1;
      pollfd poll_fd{socket_, POLLIN, 0};
      const int ready = ::poll(&poll_fd, 1, timeout_ms);
      if (ready == 0 && armed_ && deadline_.expired()) {
        fired_ = true;
        armed_ = false;
        LetGo(true);
      } else if (ready > 0 && !HandleMessage()) {
        LetGo(false);
        ::_exit(0);
      }
    }
  }

 private:
  // One that is gone has taken what was frozen with it.
  void ThawAll() const {
    for (const Cgroup& cgroup : cgroups_) (void)cgroup.Thaw();
  }

  bool StopIsDecided() const {
    return job_dir_fd_ >= 0 && ::faccessat(job_dir_fd_, jobs::kStoppingFile, F_OK, 0) == 0;
  }

  void LetGo(bool parent_lives) {
    if (!StopIsDecided()) return ThawUntilCriuEnds(parent_lives);
    for (const Cgroup& cgroup : cgroups_) (void)cgroup.Kill(Deadline::After(kKillTimeout));
  }

  // False when our parent is gone.
  bool HandleMessage() {
    Message message;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    iovec vector{&message, sizeof message};
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t size = ::recvmsg(socket_, &header, MSG_CMSG_CLOEXEC);
    if (size < 0 && errno == EINTR) return true;
    if (size <= 0) return false;
    UniqueFd fd;
    if (const cmsghdr* part = CMSG_FIRSTHDR(&header); part && part->cmsg_type == SCM_RIGHTS) {
      int number;
      std::memcpy(&number, CMSG_DATA(part), sizeof number);
      fd.Reset(number);
    }
    Apply(message, std::move(fd));
    const char answer = fired_ ? 'F' : 'K';
    if (message.kind == 'Q') fired_ = false;
    while (::send(socket_, &answer, 1, MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
    return true;
  }

  void Apply(const Message& message, UniqueFd fd) {
    switch (message.kind) {
      case 'c':
      case 'C':
        cgroups_.push_back(Cgroup::FromDirectory(
            std::move(fd), message.kind == 'C' ? CgroupVersion::kV2 : CgroupVersion::kV1, "guard"));
        break;
      case 'P':
        criu_.push_back(std::move(fd));
        break;
      case 'D':
        if (!fired_) {
          deadline_ = Deadline::At(Deadline::Clock::time_point(nanoseconds(message.value)));
          armed_ = true;
        }
        break;
      default:
        cgroups_.clear();
        criu_.clear();
        armed_ = false;
        break;
    }
  }

  // Thaws now, after every CRIU that ends, and once more a little later. While our parent lives its
  // messages are looked at between two looks at the CRIUs.
  void ThawUntilCriuEnds(bool parent_lives) {
    ThawAll();
    while (!criu_.empty()) {
      std::vector<pollfd> waits;
      for (const UniqueFd& pidfd : criu_) waits.push_back({pidfd.get(), POLLIN, 0});
      if (parent_lives) waits.push_back({socket_, POLLIN, 0});
      if (::poll(waits.data(), waits.size(), -1) < 0) continue;
      if (parent_lives && waits.back().revents != 0) {
        if (!HandleMessage()) parent_lives = false;
        continue;
      }
      for (size_t i = criu_.size(); i-- > 0;) {
        if (waits[i].revents != 0) criu_.erase(criu_.begin() + static_cast<ptrdiff_t>(i));
      }
      ThawAll();
    }
    const Deadline aftermath = Deadline::After(kAftermath);
    while (!cgroups_.empty() && !aftermath.expired()) {
      ::poll(nullptr, 0, 50);
      ThawAll();
    }
  }

  int socket_;
  int job_dir_fd_;
  std::vector<Cgroup> cgroups_;
  std::vector<UniqueFd> criu_;
  bool armed_ = false;
  bool fired_ = false;
  Deadline deadline_ = Deadline::After(seconds(0));
};

}  // namespace

Result<Guard> Guard::Fork(int job_dir_fd) {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    return ErrnoStatus(errno, "socketpair", "guard");
  }
  UniqueFd ours(sockets[0]);
  UniqueFd theirs(sockets[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus(errno, "fork", "guard");
  if (pid == 0) {
    ours.Reset();
    ::setsid();
    ::prctl(PR_SET_NAME, "cryopod-guard");
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) ::signal(signal, SIG_IGN);
    // The standard streams may be a pipe somebody waits on until its last writer is gone.
    if (const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC); null >= 0) {
      for (const int number : {0, 1, 2}) ::dup2(null, number);
    }
    GuardProcess(theirs.get(), job_dir_fd).Run();
  }
  return Guard(pid, std::move(ours));
}

Guard::Guard(Guard&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), socket_(std::move(other.socket_)) {}

Guard& Guard::operator=(Guard&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(socket_, other.socket_);
  return *this;
}

Guard::~Guard() {
  if (pid_ < 0) return;
  // Not waited for: it ends by itself, and may have a CRIU to wait for that outlives us.
  socket_.Reset();
  ::waitpid(pid_, nullptr, WNOHANG);
}

Status Guard::Ask(char kind, int64_t value, int fd) {
  const Message message{kind, value};
  iovec vector{const_cast<Message*>(&message), sizeof message};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  if (fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* const part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(part), &fd, sizeof fd);
  }
  if (::sendmsg(socket_.get(), &header, MSG_NOSIGNAL) < 0) {
    return ErrnoStatus(errno, "sendmsg", "guard");
  }
  pollfd poll_fd{socket_.get(), POLLIN, 0};
  char answer = 0;
  if (::poll(&poll_fd, 1, kAnswerTimeoutMs) <= 0 || ::recv(socket_.get(), &answer, 1, 0) != 1) {
    return Status(Code::kInternal, "the guard that thaws the pod if we die does not answer");
  }
  if (answer == 'F') {
    return Status(Code::kDeadlineExceeded,
                  "the freeze lasted beyond its deadline; the guard has thawed the pod");
  }
  return Status();
}

Status Guard::Watch(const Cgroup& cgroup) {
  return Ask(cgroup.version() == CgroupVersion::kV2 ? 'C' : 'c', 0, cgroup.dir_fd());
}

Status Guard::WatchCriu(int pidfd) { return Ask('P', 0, pidfd); }

Status Guard::Arm(Deadline deadline) {
  return Ask('D', nanoseconds(deadline.instant().time_since_epoch()).count(), -1);
}

Status Guard::Disarm() { return Ask('Q', 0, -1); }

}  // namespace cryopod::checkpoint
