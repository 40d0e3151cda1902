#pragma once

#include <sys/types.h>

#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod {

// Tells the PID that a PID namespace has given out last: two equal answers prove that nothing was
// born in between, not even a process that has ended again. Only a process inside can ask, so one
// of ours waits there; it ends with this object, and with the process that made it.
//
// Source   proc_sys_kernel(5), ns_last_pid (CONFIG_CHECKPOINT_RESTORE).
// Threads  one thread at a time.
class LastPid {
 public:
  // `pid_ns_fd` is borrowed. Errors: kFailedPrecondition (the namespace's first process has ended),
  // kDeadlineExceeded.
  static Result<LastPid> Enter(int pid_ns_fd, Deadline deadline);
  LastPid(LastPid&&) noexcept;
  LastPid& operator=(LastPid&&) = delete;
  ~LastPid();

  // Errors: kUnavailable (the process inside was ended by somebody), kDeadlineExceeded.
  Result<pid_t> Read(Deadline deadline) const;

 private:
  LastPid(pid_t between, UniqueFd socket) : between_(between), socket_(std::move(socket)) {}
  pid_t between_;  // our child, whose child is inside
  UniqueFd socket_;
};

}  // namespace cryopod
