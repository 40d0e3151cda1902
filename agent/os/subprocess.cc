#include "agent/os/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "agent/os/file.h"

namespace cryopod {
namespace {

constexpr size_t kOutputBytesMax = size_t{1} << 20;
// A killed process is gone at once unless it sits in an uninterruptible call or a frozen v1 cgroup.
constexpr auto kReapWait = std::chrono::seconds(10);

int SendSignal(int pidfd, int signal) {
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
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

}  // namespace

std::string ExitStatus::Describe() const {
  if (signal != 0) return "killed by signal " + std::to_string(signal);
  return "exit code " + std::to_string(exit_code);
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
  if (!PidfdEnded(pidfd_.get(), deadline)) {
    return Status(Code::kDeadlineExceeded, "process " + std::to_string(pid_) + " still runs");
  }
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) != 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "wait for process", std::to_string(pid_));
  }
  reaped_ = true;
  if (info.si_code == CLD_EXITED) return ExitStatus{info.si_status, 0};
  return ExitStatus{-1, info.si_status};
}

Result<ExitStatus> Subprocess::Wait(Deadline deadline) {
  Result<ExitStatus> status = WaitOnly(deadline);
  if (status.ok() || status.status().code() != Code::kDeadlineExceeded) return status;
  SendSignal(pidfd_.get(), SIGKILL);
  reaped_ = PidfdEnded(pidfd_.get(), Deadline::After(kReapWait));
  if (reaped_) Reap(pid_);
  return Status(Code::kDeadlineExceeded, "process " + std::to_string(pid_) +
                                             " outlived its deadline and was killed" +
                                             (reaped_ ? "" : ", but does not end"));
}

Result<CommandOutput> RunCommand(SpawnOptions options, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
  const int output_fd = pipe.read_end.get();
  // Only our end: the program's own must stay blocking.
  if (::fcntl(output_fd, F_SETFL, O_NONBLOCK) != 0) return ErrnoStatus(errno, "fcntl", "");
  for (const int number : {STDOUT_FILENO, STDERR_FILENO}) {
    if (!options.Names(number)) options.descriptors.emplace_back(number, pipe.write_end.get());
  }
  CRYOPOD_ASSIGN_OR_RETURN(Subprocess child, Subprocess::Spawn(options));
  pipe.write_end.Reset();
  CommandOutput output;
  // Ends with the program even where a process that it left behind keeps the pipe open.
  std::array<pollfd, 2> polls{pollfd{child.pidfd(), POLLIN, 0}, pollfd{output_fd, POLLIN, 0}};
  while (!deadline.expired()) {
    const int ready = ::poll(polls.data(), polls.size(), deadline.poll_timeout_ms());
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll", options.argv[0]);
    if (ready <= 0) continue;
    if (polls[1].revents != 0 && !Drain(output_fd, output.text)) polls[1].fd = -1;
    if (polls[0].revents != 0) break;
  }
  CRYOPOD_ASSIGN_OR_RETURN(output.status, child.Wait(deadline).While("running " + options.argv[0]));
  if (polls[1].fd >= 0) Drain(output_fd, output.text);
  return output;
}

Result<UniqueFd> OpenPidfd(pid_t pid) {
  const long fd = ::syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0) return ErrnoStatus(errno, "pidfd_open of process", std::to_string(pid));
  return UniqueFd(static_cast<int>(fd));
}

bool PidfdEnded(int pidfd, Deadline deadline) {
  return WaitReady(pidfd, POLLIN, deadline, "").ok();
}

void Reap(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace cryopod
