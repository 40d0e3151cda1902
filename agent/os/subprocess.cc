#include "agent/os/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "agent/os/child_setup.h"
#include "agent/os/signal_mask.h"

namespace cryopod {
namespace {

constexpr size_t kOutputBytesMax = size_t{1} << 20;
// Between fork and exec a child does a dozen calls; it can be stopped there only by a frozen
// cgroup.
constexpr auto kExecWait = std::chrono::seconds(30);
// A killed process is gone at once unless it sits in an uninterruptible call or a frozen v1 cgroup.
constexpr auto kReapWait = std::chrono::seconds(10);

int SendSignal(int pidfd, int signal) {
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}

bool WaitReadable(int fd, Deadline deadline) {
  while (true) {
    pollfd one{fd, POLLIN, 0};
    const int ready = ::poll(&one, 1, deadline.poll_timeout_ms());
    if (ready > 0) return (one.revents & (POLLIN | POLLHUP)) != 0;
    if (ready == 0 && deadline.expired()) return false;
    if (ready < 0 && errno != EINTR) return false;
  }
}

ExitStatus FromSiginfo(const siginfo_t& info) {
  ExitStatus status;
  if (info.si_code == CLD_EXITED) {
    status.exit_code = info.si_status;
  } else {
    status.signal = info.si_status;
  }
  return status;
}

// False when it has been killed and still does not end.
bool KillAndReap(pid_t pid, int pidfd) {
  if (pidfd >= 0) {
    SendSignal(pidfd, SIGKILL);
    if (!WaitReadable(pidfd, Deadline::After(kReapWait))) return false;
  } else {
    ::kill(pid, SIGKILL);
  }
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return true;
}

// Success when the pipe closed without a word: exec took it away.
Status ReadSetupFailure(int pipe_fd, const std::string& program) {
  if (!WaitReadable(pipe_fd, Deadline::After(kExecWait))) {
    return Status(Code::kDeadlineExceeded, "starting " + program + ": the child got stuck");
  }
  ChildSetupFailure failure{};
  ssize_t got = -1;
  do {
    got = ::read(pipe_fd, &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return Status();
  if (got != static_cast<ssize_t>(sizeof failure)) {
    return Status(Code::kInternal, "starting " + program + ": the child's report is damaged");
  }
  return ErrnoStatus(failure.error_number, ChildSetupStepName(failure.step), program);
}

// Takes what is there without waiting. False at the end of the pipe.
bool Drain(int pipe_fd, std::string& text) {
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t got = ::read(pipe_fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    const size_t room = kOutputBytesMax - text.size();
    text.append(buffer.data(), std::min(room, static_cast<size_t>(got)));
  }
}

bool Names(const SpawnOptions& options, int number) {
  for (const auto& [child_number, ours] : options.descriptors) {
    if (child_number == number) return true;
  }
  return false;
}

}  // namespace

std::string ExitStatus::Describe() const {
  if (signal != 0) return "killed by signal " + std::to_string(signal);
  return "exit code " + std::to_string(exit_code);
}

Result<Subprocess> Subprocess::Spawn(const SpawnOptions& options) {
  CRYOPOD_ASSIGN_OR_RETURN(ChildSetup setup, ChildSetup::Prepare(options));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe", "");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  pid_t pid = -1;
  {
    const BlockedSignals blocked;
    pid = ::fork();
    if (pid == 0) setup.RunInChild(write_end.get());
  }
  if (pid < 0) return ErrnoStatus(errno, "fork for", setup.program());
  write_end.Reset();
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  Status status = pidfd.valid() ? ReadSetupFailure(read_end.get(), setup.program())
                                : ErrnoStatus(errno, "pidfd_open of", setup.program());
  if (!status.ok()) {
    KillAndReap(pid, pidfd.get());
    return status;
  }
  return Subprocess(pid, std::move(pidfd));
}

Subprocess& Subprocess::operator=(Subprocess&& other) noexcept {
  if (this != &other) {
    Subprocess old(std::move(*this));  // reaps what we held, when it has ended
    pid_ = other.pid_;
    reaped_ = other.reaped_;
    pidfd_ = std::move(other.pidfd_);
  }
  return *this;
}

Subprocess::~Subprocess() {
  if (!pidfd_.valid() || reaped_) return;
  siginfo_t info{};
  ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG);
}

Status Subprocess::Kill(int signal) {
  if (SendSignal(pidfd_.get(), signal) == 0) return Status();
  return ErrnoStatus(errno, "signal process", std::to_string(pid_));
}

Result<ExitStatus> Subprocess::WaitOnly(Deadline deadline) {
  if (reaped_) {
    return Status(Code::kFailedPrecondition,
                  "wait for process " + std::to_string(pid_) + ": it was reaped before");
  }
  if (!WaitReadable(pidfd_.get(), deadline)) {
    return Status(Code::kDeadlineExceeded, "process " + std::to_string(pid_) + " still runs");
  }
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) != 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "wait for process", std::to_string(pid_));
  }
  reaped_ = true;
  return FromSiginfo(info);
}

Result<ExitStatus> Subprocess::Wait(Deadline deadline) {
  Result<ExitStatus> status = WaitOnly(deadline);
  if (status.ok() || status.status().code() != Code::kDeadlineExceeded) return status;
  reaped_ = KillAndReap(pid_, pidfd_.get());
  return Status(Code::kDeadlineExceeded, "process " + std::to_string(pid_) +
                                             " outlived its deadline and was killed" +
                                             (reaped_ ? "" : ", but does not end"));
}

Result<CommandOutput> RunCommand(SpawnOptions options, Deadline deadline) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe", "");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  // Only our end: the program's own must stay blocking.
  if (::fcntl(read_end.get(), F_SETFL, O_NONBLOCK) != 0) return ErrnoStatus(errno, "fcntl", "");
  for (const int number : {STDOUT_FILENO, STDERR_FILENO}) {
    if (!Names(options, number)) options.descriptors.emplace_back(number, write_end.get());
  }
  CRYOPOD_ASSIGN_OR_RETURN(Subprocess child, Subprocess::Spawn(options));
  write_end.Reset();
  CommandOutput output;
  // Ends with the program even where a process that it left behind keeps the pipe open.
  std::array<pollfd, 2> polls{pollfd{child.pidfd(), POLLIN, 0}, pollfd{read_end.get(), POLLIN, 0}};
  while (!deadline.expired()) {
    const int ready = ::poll(polls.data(), polls.size(), deadline.poll_timeout_ms());
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll", options.argv[0]);
    if (ready <= 0) continue;
    if (polls[1].revents != 0 && !Drain(read_end.get(), output.text)) polls[1].fd = -1;
    if (polls[0].revents != 0) break;
  }
  CRYOPOD_ASSIGN_OR_RETURN(output.status, child.Wait(deadline).While("running " + options.argv[0]));
  if (polls[1].fd >= 0) Drain(read_end.get(), output.text);
  return output;
}

Result<UniqueFd> OpenPidfd(pid_t pid) {
  const long fd = ::syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0) return ErrnoStatus(errno, "pidfd_open of process", std::to_string(pid));
  return UniqueFd(static_cast<int>(fd));
}

bool PidfdEnded(int pidfd, Deadline deadline) { return WaitReadable(pidfd, deadline); }

}  // namespace cryopod
