#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod {

// How a process ended: exactly one of the two is set.
struct ExitStatus {
  int exit_code = -1;  // 0..255, or -1
  int signal = 0;      // the signal that ended it, or 0

  bool success() const { return exit_code == 0; }
  // "exit code 1", "killed by signal 9".
  std::string Describe() const;
};

struct SpawnOptions {
  std::vector<std::string> argv;         // argv[0] is a path, or a name looked up in our PATH
  std::vector<std::string> environment;  // "KEY=value"; empty means an empty environment
  bool inherit_environment = false;      // `environment` is then added to ours
  std::string working_directory;         // empty: ours
  // {child number, our descriptor}: in the child ours becomes the number, without close-on-exec.
  // Numbers 0..2 that are not named become /dev/null. Every other descriptor is closed.
  std::vector<std::pair<int, int>> descriptors;
  bool new_session = false;  // setsid
  int death_signal = 0;      // PR_SET_PDEATHSIG; fires when the *thread* that spawned ends
  int umask = -1;            // -1: ours
  int ignored_signal = 0;    // every other one has its default action
  // Directories of cgroups that the child enters before exec (one per v1 hierarchy, or one of v2).
  std::vector<int> cgroup_dir_fds;

  // Does `descriptors` have it as a child's number?
  bool Names(int number) const;
};

// Where Spawn finds a program: a path as it is, a name in PATH. Errors: kNotFound.
Result<std::string> FindProgram(const std::string& name);

// A child process held by its pidfd.
//
// Threads  one thread at a time; different Subprocesses are independent.
class Subprocess {
 public:
  // The child has called exec when this returns; an exec that fails is an error here.
  // Errors: kNotFound (no such program), kPermissionDenied, kResourceExhausted.
  static Result<Subprocess> Spawn(const SpawnOptions& options);

  Subprocess(Subprocess&&) noexcept = default;
  Subprocess& operator=(Subprocess&&) = delete;
  // Does not kill: whoever owns a child that must not outlive it says so with Kill or Wait.
  // A child that has ended is reaped.
  ~Subprocess();

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }

  Status Kill(int signal);
  // Waits and reaps. When the deadline passes the child is left running.
  // Errors: kDeadlineExceeded.
  Result<ExitStatus> WaitOnly(Deadline deadline);
  // The same, but a child that outlives the deadline is killed and reaped, for which it may take
  // up to 10 s more (a v1 cgroup that is frozen, a hanging disk). Errors: kDeadlineExceeded.
  Result<ExitStatus> Wait(Deadline deadline);

 private:
  Subprocess(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  bool reaped_ = false;
};

// Runs a program to its end and returns what it wrote to stdout and stderr together (at most 1
// MiB).
struct CommandOutput {
  ExitStatus status;
  std::string text;
};
Result<CommandOutput> RunCommand(SpawnOptions options, Deadline deadline);

// Errors: kNotFound.
Result<UniqueFd> OpenPidfd(pid_t pid);
// True when the process behind the pidfd has ended; waits until the deadline for it.
bool PidfdEnded(int pidfd, Deadline deadline);
// Waits for the end of a child, of which nothing is left then. Async-signal-safe.
void Reap(pid_t pid);

}  // namespace cryopod
