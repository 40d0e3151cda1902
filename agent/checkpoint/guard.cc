#include "agent/checkpoint/guard.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <string_view>

#include "agent/jobs/job_file.h"
#include "agent/os/text.h"
#include "agent/os/unix_socket.h"

namespace cryopod::checkpoint {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

// How long after the last CRIU has ended the cgroups are looked at once more: CRIU's own FROZEN is
// written before it ends, so anything later than this is not its doing.
constexpr std::chrono::milliseconds kAftermath{500};
constexpr seconds kAnswerTimeout{5};
constexpr seconds kKillTimeout{10};
// Between two tries to thaw what could not be thawed.
constexpr std::chrono::milliseconds kAgain{250};

// The first byte of a frame to the guard. After kDeadline comes its instant in nanoseconds, with
// the others that need one a descriptor.
constexpr char kCgroupV1 = 'c';
constexpr char kCgroupV2 = 'C';
constexpr char kCriu = 'P';
constexpr char kDeadline = 'D';
constexpr char kDisarm = 'Q';
// Its answers: it keeps watch, or has thawed since the last kDisarm.
constexpr char kKeepsWatch[] = "K";
constexpr char kHasFired[] = "F";

class GuardProcess {
 public:
  GuardProcess(int socket, int job_dir_fd) : socket_(socket), job_dir_fd_(job_dir_fd) {}

  [[noreturn]] void Run() {
    while (true) {
      pollfd poll_fd{socket_, POLLIN, 0};
      const int ready = ::poll(&poll_fd, 1, deadline_ ? deadline_->poll_timeout_ms() : -1);
      if (ready == 0 && deadline_ && deadline_->expired()) {
        fired_ = true;
        deadline_.reset();
        LetGo(true);
      } else if (ready > 0 && !HandleMessage()) {
        LetGo(false);
        ::_exit(0);
      }
    }
  }

 private:
  // False when something may still be frozen. A cgroup that is gone has taken what was with it.
  bool ThawAll() const {
    bool thawed = true;
    for (const Cgroup& cgroup : cgroups_) {
      const Status status = cgroup.Thaw();
      thawed &= status.ok() || status.code() == Code::kNotFound;
    }
    return thawed;
  }

  void LetGo(bool parent_lives) {
    const bool stop_is_decided =
        job_dir_fd_ >= 0 && ::faccessat(job_dir_fd_, jobs::kStoppingFile, F_OK, 0) == 0;
    if (!stop_is_decided) return ThawUntilCriuEnds(parent_lives);
    std::vector<const Cgroup*> all;
    all.reserve(cgroups_.size());
    for (const Cgroup& cgroup : cgroups_) all.push_back(&cgroup);
    (void)KillEach(all, Deadline::After(kKillTimeout));
  }

  bool HasMessage() const {
    pollfd poll_fd{socket_, POLLIN, 0};
    return ::poll(&poll_fd, 1, 0) > 0;
  }

  // False when our parent is gone.
  bool HandleMessage() {
    Result<Frame> frame = ReceiveFrame(socket_, Deadline::After(kAnswerTimeout));
    if (!frame.ok() || frame->bytes.empty()) return false;
    const char kind = frame->bytes.front();
    Apply(kind, std::string_view(frame->bytes).substr(1), std::move(frame->descriptors));
    // One that is gone meanwhile is missed at the next look.
    (void)SendFrame(socket_, fired_ ? kHasFired : kKeepsWatch, Deadline::After(kAnswerTimeout));
    if (kind == kDisarm) fired_ = false;
    return true;
  }

  void Apply(char kind, std::string_view value, std::vector<UniqueFd> descriptors) {
    UniqueFd fd = descriptors.empty() ? UniqueFd() : std::move(descriptors.front());
    if (kind == kCgroupV1 || kind == kCgroupV2) {
      cgroups_.push_back(Cgroup::FromDirectory(
          std::move(fd), kind == kCgroupV2 ? CgroupVersion::kV2 : CgroupVersion::kV1, "guard"));
    } else if (kind == kCriu) {
      criu_.push_back(std::move(fd));
    } else if (kind == kDeadline) {
      int64_t instant_ns = 0;  // one that cannot be read has passed
      (void)ParseNumber(value, instant_ns);
      if (!fired_) deadline_ = Deadline::At(Deadline::Clock::time_point(nanoseconds(instant_ns)));
    } else {
      cgroups_.clear();
      criu_.clear();
      deadline_.reset();
    }
  }

  // Thaws now, after every CRIU that ends, and once more a little later; as often as it takes.
  // While our parent lives its messages are looked at between two looks at the CRIUs.
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
    while (!ThawAll() && !(parent_lives && HasMessage())) {
      ::poll(nullptr, 0, kAgain.count());
    }
  }

  int socket_;
  int job_dir_fd_;
  std::vector<Cgroup> cgroups_;
  std::vector<UniqueFd> criu_;
  bool fired_ = false;
  std::optional<Deadline> deadline_;
};

}  // namespace

Result<Guard> Guard::Fork(int job_dir_fd) {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
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

Guard::~Guard() {
  if (pid_ < 0) return;
  // Not waited for: it ends by itself, and may have a CRIU to wait for that outlives us.
  socket_.Reset();
  ::waitpid(pid_, nullptr, WNOHANG);
}

Status Guard::Ask(const std::string& message, const std::vector<int>& descriptors) {
  const Deadline deadline = Deadline::After(kAnswerTimeout);
  CRYOPOD_RETURN_IF_ERROR(SendFrame(socket_.get(), message, deadline, descriptors).While("guard"));
  const Result<Frame> answer = ReceiveFrame(socket_.get(), deadline);
  if (!answer.ok()) {
    return Status(Code::kInternal, "the guard that thaws the pod if we die does not answer");
  }
  if (answer->bytes == kHasFired) {
    return Status(Code::kDeadlineExceeded,
                  "the freeze lasted beyond its deadline; the guard has thawed the pod");
  }
  return Status();
}

Status Guard::Watch(const Cgroup& cgroup) {
  const char kind = cgroup.version() == CgroupVersion::kV2 ? kCgroupV2 : kCgroupV1;
  return Ask({kind}, {cgroup.dir_fd()});
}

Status Guard::WatchCriu(int pidfd) { return Ask({kCriu}, {pidfd}); }

Status Guard::Arm(Deadline deadline) {
  const auto instant = deadline.instant().time_since_epoch();
  return Ask(kDeadline + std::to_string(nanoseconds(instant).count()), {});
}

Status Guard::Disarm() { return Ask({kDisarm}, {}); }

}  // namespace cryopod::checkpoint
