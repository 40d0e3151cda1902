#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "agent/os/cgroup.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::checkpoint {

// A small child in a session of its own that thaws what we froze when we are gone, or when the
// deadline passes, and again after the last CRIU of the pod has ended: CRIU writes THAWED when it
// has seized the tasks and FROZEN again when it ends, so one thaw is not enough.
//
// Fork it before any thread exists. It holds descriptors only: the cgroups' directories, a pidfd of
// each CRIU, and a socket to us whose end of file means that we are gone.
//
// Once the job's directory holds kStoppingFile (job.h) it kills where it would thaw: nothing of a
// source that is to stop may run past the cut.
//
// Threads  one thread at a time.
class Guard {
 public:
  // `job_dir_fd` (borrowed): where kStoppingFile may appear; -1: never.
  static Result<Guard> Fork(int job_dir_fd = -1);
  Guard(Guard&&) noexcept;
  Guard& operator=(Guard&&) = delete;
  // Lets the guard go: what is frozen then is thawed by it.
  ~Guard();

  // What to thaw, whom to wait for. Errors: kInternal when the guard is gone; then nothing may be
  // frozen.
  Status Watch(const Cgroup& cgroup);
  Status WatchCriu(int pidfd);
  // Sets the instant at which the guard thaws although we live. Errors: kDeadlineExceeded when an
  // earlier one has passed and the guard has thawed: what was captured since is no cut.
  Status Arm(Deadline deadline);
  // Forgets cgroups, CRIU processes and deadline: nothing of ours is frozen. Errors:
  // kDeadlineExceeded as above.
  Status Disarm();

  pid_t pid() const { return pid_; }

 private:
  Guard(pid_t pid, UniqueFd socket) : pid_(pid), socket_(std::move(socket)) {}
  Status Ask(const std::string& message, const std::vector<int>& descriptors);
  pid_t pid_ = -1;
  UniqueFd socket_;
};

}  // namespace cryopod::checkpoint
