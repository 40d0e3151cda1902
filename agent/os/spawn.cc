
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>

#include "agent/os/file.h"
#include "agent/os/signal_mask.h"
#include "agent/os/subprocess.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

// Where execvp(3) looks without a PATH.
constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr int kSetupFailedExitCode = 127;
// Between fork and exec a child does a dozen calls; only a frozen cgroup can stop it there.
constexpr auto kExecWait = std::chrono::seconds(30);

bool IsProgram(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

std::string_view KeyOf(std::string_view assignment) {
  return assignment.substr(0, assignment.find('='));
}

std::vector<std::string> MergedEnvironment(const SpawnOptions& options) {
  std::vector<std::string> merged = options.environment;
  if (!options.inherit_environment) return merged;
  for (char** ours = ::environ; ours != nullptr && *ours != nullptr; ++ours) {
    const bool replaced =
        std::any_of(options.environment.begin(), options.environment.end(),
                    [&](const std::string& added) { return KeyOf(added) == KeyOf(*ours); });
    if (!replaced) merged.emplace_back(*ours);
  }
  return merged;
}

// exec takes char* for historical reasons; it writes to none of them.
std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& one : strings) pointers.push_back(const_cast<char*>(one.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Written to the report pipe as it stands: both sides are the same program, and a literal has one
// address in both.
struct ChildSetupFailure {
  const char* doing;
  int error_number;
};

// Everything between fork and exec, prepared before the fork: the child of a program with several
// threads may only make async-signal-safe calls, so it neither allocates nor looks anything up.
class ChildSetup {
 public:
  // `options` is borrowed until the fork is over. Errors: kNotFound (no such program),
  // kInvalidArgument.
  static Result<ChildSetup> Prepare(const SpawnOptions& options) {
    if (options.argv.empty() || options.argv[0].empty()) {
      return Status(Code::kInvalidArgument, "start of a program without a name");
    }
    ChildSetup setup(options);
    CRYOPOD_ASSIGN_OR_RETURN(setup.program_, FindProgram(options.argv[0]));
    setup.environment_ = MergedEnvironment(options);
    setup.argv_ = Pointers(options.argv);
    setup.envp_ = Pointers(setup.environment_);
    setup.moves_ = options.descriptors;
    for (const auto& [number, ours] : options.descriptors) {
      if (number < 0 || ours < 0) {
        return Status(Code::kInvalidArgument, "descriptor -1 for " + setup.program_);
      }
      setup.first_free_ = std::max(setup.first_free_, number + 1);
    }
    for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
      if (!options.Names(number)) setup.moves_.emplace_back(number, -1);
    }
    setup.copies_.resize(setup.moves_.size(), -1);
    setup.parent_pid_ = ::getpid();
    return setup;
  }

  const std::string& program() const { return program_; }

  // In the child, with all signals blocked. A failure is written to `report_fd`; success closes it.
  [[noreturn]] void RunInChild(int report_fd) {
    report_fd_ = report_fd;
    EnterCgroups();
    TieToParent();
    if (options_.new_session && ::setsid() < 0) Fail("setsid for");
    if (options_.umask >= 0) ::umask(static_cast<mode_t>(options_.umask));
    if (!options_.working_directory.empty() && ::chdir(options_.working_directory.c_str()) != 0) {
      Fail("chdir for");
    }
    PlaceDescriptors();
    ResetSignals();
    ::execve(program_.c_str(), argv_.data(), envp_.data());
    Fail("exec");
  }

 private:
  explicit ChildSetup(const SpawnOptions& options) : options_(options) {}

  void EnterCgroups() {
    for (const int dir_fd : options_.cgroup_dir_fds) {
      const int file = ::openat(dir_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
      if (file < 0 || ::write(file, "0", 1) != 1) Fail("enter the cgroup for");
      ::close(file);
    }
  }

  void TieToParent() {
    if (options_.death_signal == 0) return;
    if (::prctl(PR_SET_PDEATHSIG, options_.death_signal, 0, 0, 0) != 0) {
      Fail("set the death signal of");
    }
    // The parent may have ended before the call: then no signal comes any more.
    if (::getppid() != parent_pid_) ::_exit(kSetupFailedExitCode);
  }

  void PlaceDescriptors() {
    // First everything moves above the child's numbers: a number may be the source of another one.
    const int report_copy = ::fcntl(report_fd_, F_DUPFD_CLOEXEC, first_free_);
    if (report_copy >= 0) report_fd_ = report_copy;
    for (size_t i = 0; i < moves_.size(); ++i) {
      const int ours = moves_[i].second;
      const int source = ours >= 0 ? ours : ::open("/dev/null", O_RDWR | O_CLOEXEC);
      copies_[i] = source < 0 ? -1 : ::fcntl(source, F_DUPFD_CLOEXEC, first_free_);
      if (copies_[i] < 0) Fail("place the descriptors of");
    }
    for (size_t i = 0; i < moves_.size(); ++i) {
      if (::dup2(copies_[i], moves_[i].first) < 0) Fail("place the descriptors of");
    }
    // Closing happens at exec, so that the report pipe is there until then.
    if (::syscall(SYS_close_range, 0u, UINT_MAX, CLOSE_RANGE_CLOEXEC) != 0) {
      Fail("place the descriptors of");
    }
    for (const auto& [number, ours] : moves_) {
      if (::fcntl(number, F_SETFD, 0) != 0) Fail("place the descriptors of");
    }
  }

  // Handlers go with exec, ignored signals and the mask do not.
  void ResetSignals() {
    struct sigaction by_default {};
    by_default.sa_handler = SIG_DFL;
    for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &by_default, nullptr);
    struct sigaction ignored {};
    ignored.sa_handler = SIG_IGN;
    if (options_.ignored_signal != 0) ::sigaction(options_.ignored_signal, &ignored, nullptr);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
  }

  [[noreturn]] void Fail(const char* doing) {
    const ChildSetupFailure failure{doing, errno};
    // Fits into the pipe at once; when it cannot be written the exit code alone has to do.
    if (::write(report_fd_, &failure, sizeof failure) < 0) ::_exit(kSetupFailedExitCode);
    ::_exit(kSetupFailedExitCode);
  }

  const SpawnOptions& options_;
  std::string program_;
  std::vector<std::string> environment_;
  std::vector<char*> argv_;
  std::vector<char*> envp_;
  std::vector<std::pair<int, int>> moves_;  // {child number, our descriptor}; -1: /dev/null
  std::vector<int> copies_;                 // of our descriptors, above every child number
  int first_free_ = 3;
  pid_t parent_pid_ = -1;
  int report_fd_ = -1;
};

// Success when the pipe closed without a word: exec took it away.
Status ReadSetupFailure(int pipe_fd, const std::string& program) {
  if (!WaitReady(pipe_fd, POLLIN, Deadline::After(kExecWait), program).ok()) {
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
  return ErrnoStatus(failure.error_number, failure.doing, program);
}

}  // namespace

Result<std::string> FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = ::getenv("PATH");
  for (const std::string_view directory : Split(path != nullptr ? path : kDefaultPath, ':')) {
    const std::string candidate = std::string(directory) + "/" + name;
    if (!directory.empty() && IsProgram(candidate)) return candidate;
  }
  return Status(Code::kNotFound, "no program " + name + " in PATH");
}

bool SpawnOptions::Names(int number) const {
  return std::ranges::find(descriptors, number, &std::pair<int, int>::first) != descriptors.end();
}

Result<Subprocess> Subprocess::Spawn(const SpawnOptions& options) {
  CRYOPOD_ASSIGN_OR_RETURN(ChildSetup setup, ChildSetup::Prepare(options));
  CRYOPOD_ASSIGN_OR_RETURN(Pipe report, MakePipe());
  pid_t pid = -1;
  {
    const BlockedSignals blocked;
    pid = ::fork();
    if (pid == 0) setup.RunInChild(report.write_end.get());
  }
  if (pid < 0) return ErrnoStatus(errno, "fork for", setup.program());
  report.write_end.Reset();
  Result<UniqueFd> pidfd = OpenPidfd(pid).While("starting " + setup.program());
  if (!pidfd.ok()) {
    ::kill(pid, SIGKILL);
    Reap(pid);
    return pidfd.status();
  }
  Subprocess child(pid, std::move(pidfd).value());
  const Status started = ReadSetupFailure(report.read_end.get(), setup.program());
  if (started.ok()) return child;
  (void)child.Wait(Deadline::After(std::chrono::seconds(0)));
  return started;
}

}  // namespace cryopod
