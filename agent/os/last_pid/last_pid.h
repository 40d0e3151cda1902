#pragma once

#include <sys/types.h>

#include <utility>

#include "agent/os/deadline.h"
#include "agent/os/file.h"
#include "agent/os/status.h"
#include "agent/os/subprocess.h"
#include "agent/os/unique_fd.h"

namespace cryopod {

// Tells the PID that a PID namespace has given out last: two equal answers prove that nothing was
// born in between, not even a process that has ended again. Only a process inside can ask, so one
// of ours waits there; it ends with this object, and with the thread that made it.
//
// Whatever is inside sees that process, and may do with it what its capabilities allow. What there
// is to be had of it: last_pid_main.cc. Its answers are those of a stranger, then.
//
// Source   proc_sys_kernel(5), ns_last_pid (CONFIG_CHECKPOINT_RESTORE).
// Threads  that which made it.
class LastPid {
 public:
  // Of the namespace of the process behind `pidfd`, which is borrowed. Errors: kFailedPrecondition
  // (that process, or the namespace's first one, has ended), kDeadlineExceeded.
  static Result<LastPid> Enter(int pidfd, Deadline deadline);
  LastPid(LastPid&&) noexcept = default;
  LastPid& operator=(LastPid&&) = delete;
  ~LastPid();

  // Errors: kUnavailable (the process inside was ended, or is held, by somebody; after the latter
  // its answers are worth nothing), kDeadlineExceeded.
  Result<pid_t> Read(Deadline deadline) const;

 private:
  LastPid(Subprocess between, Pipe questions, UniqueFd answers)
      : between_(std::move(between)),
        questions_(std::move(questions)),
        answers_(std::move(answers)) {}
  Subprocess between_;  // its child is inside
  Pipe questions_;      // both ends: no SIGPIPE when it has ended
  UniqueFd answers_;
};

}  // namespace cryopod
