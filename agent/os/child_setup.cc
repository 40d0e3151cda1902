#include "agent/os/child_setup.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace cryopod {
namespace {

// Where execvp(3) looks without a PATH.
constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr int kSetupFailedExitCode = 127;

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

}  // namespace

Result<std::string> FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = ::getenv("PATH");
  std::string_view rest = path != nullptr ? path : kDefaultPath;
  while (!rest.empty()) {
    const size_t colon = std::min(rest.find(':'), rest.size());
    const std::string candidate = std::string(rest.substr(0, colon)) + "/" + name;
    if (colon > 0 && IsProgram(candidate)) return candidate;
    rest.remove_prefix(std::min(colon + 1, rest.size()));
  }
  return Status(Code::kNotFound, "no program " + name + " in PATH");
}

std::string_view ChildSetupStepName(ChildSetupStep step) {
  switch (step) {
    case ChildSetupStep::kCgroup:
      return "enter the cgroup for";
    case ChildSetupStep::kDeathSignal:
      return "set the death signal of";
    case ChildSetupStep::kSession:
      return "setsid for";
    case ChildSetupStep::kDirectory:
      return "chdir for";
    case ChildSetupStep::kDescriptors:
      return "place the descriptors of";
    case ChildSetupStep::kExec:
      return "exec";
  }
  return "start";
}

Result<ChildSetup> ChildSetup::Prepare(const SpawnOptions& options) {
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
  for (int number = 0; number <= STDERR_FILENO; ++number) {
    const bool named = std::any_of(options.descriptors.begin(), options.descriptors.end(),
                                   [number](const auto& move) { return move.first == number; });
    if (!named) setup.moves_.emplace_back(number, -1);
  }
  setup.copies_.resize(setup.moves_.size(), -1);
  setup.parent_pid_ = ::getpid();
  return setup;
}

void ChildSetup::RunInChild(int report_fd) {
  report_fd_ = report_fd;
  EnterCgroups();
  TieToParent();
  if (options_.new_session && ::setsid() < 0) Fail(ChildSetupStep::kSession);
  if (options_.umask >= 0) ::umask(static_cast<mode_t>(options_.umask));
  if (!options_.working_directory.empty() && ::chdir(options_.working_directory.c_str()) != 0) {
    Fail(ChildSetupStep::kDirectory);
  }
  PlaceDescriptors();
  ResetSignals();
  ::execve(program_.c_str(), argv_.data(), envp_.data());
  Fail(ChildSetupStep::kExec);
}

void ChildSetup::EnterCgroups() {
  for (const int dir_fd : options_.cgroup_dir_fds) {
    const int file = ::openat(dir_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (file < 0 || ::write(file, "0", 1) != 1) Fail(ChildSetupStep::kCgroup);
    ::close(file);
  }
}

void ChildSetup::TieToParent() {
  if (options_.death_signal == 0) return;
  if (::prctl(PR_SET_PDEATHSIG, options_.death_signal, 0, 0, 0) != 0) {
    Fail(ChildSetupStep::kDeathSignal);
  }
  // The parent may have ended before the call: then no signal comes any more.
  if (::getppid() != parent_pid_) ::_exit(kSetupFailedExitCode);
}

void ChildSetup::PlaceDescriptors() {
  // First everything moves above the child's numbers: a number may be the source of another one.
  report_fd_ = [this] {
    const int copy = ::fcntl(report_fd_, F_DUPFD_CLOEXEC, first_free_);
    return copy >= 0 ? copy : report_fd_;
  }();
  for (size_t i = 0; i < moves_.size(); ++i) {
    const int ours = moves_[i].second;
    const int source = ours >= 0 ? ours : ::open("/dev/null", O_RDWR | O_CLOEXEC);
    copies_[i] = source < 0 ? -1 : ::fcntl(source, F_DUPFD_CLOEXEC, first_free_);
    if (copies_[i] < 0) Fail(ChildSetupStep::kDescriptors);
  }
  for (size_t i = 0; i < moves_.size(); ++i) {
    if (::dup2(copies_[i], moves_[i].first) < 0) Fail(ChildSetupStep::kDescriptors);
  }
  // Closing happens at exec, so that the report pipe is there until then.
  if (::syscall(SYS_close_range, 0u, UINT_MAX, CLOSE_RANGE_CLOEXEC) != 0) {
    Fail(ChildSetupStep::kDescriptors);
  }
  for (const auto& [number, ours] : moves_) {
    if (::fcntl(number, F_SETFD, 0) != 0) Fail(ChildSetupStep::kDescriptors);
  }
}

// Handlers go with exec, ignored signals and the mask do not.
void ChildSetup::ResetSignals() {
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &by_default, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void ChildSetup::Fail(ChildSetupStep step) {
  const ChildSetupFailure failure{step, errno};
  // Fits into the pipe at once; when it cannot be written the exit code alone has to do.
  if (::write(report_fd_, &failure, sizeof failure) < 0) ::_exit(kSetupFailedExitCode);
  ::_exit(kSetupFailedExitCode);
}

}  // namespace cryopod
