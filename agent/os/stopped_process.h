#pragma once

#include <fcntl.h>
#include <sys/types.h>

#include <utility>

#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod {

// Waits for the next stop of a process or thread that we trace, and tells its signal.
// Errors: kNotFound (it has ended), kDeadlineExceeded.
Result<int> WaitForStop(pid_t pid, Deadline deadline);

// A process that is held by ptrace while this lives. It makes single system calls for us; then
// everything of it is as it was, and it stands where it stood.
//
// Some state of a process can be set by nobody else: a record lock belongs to the one that called.
// Only the first thread is held; the others stay where they are.
//
// Source   ptrace(2), "Group-stop"; x86-64 only.
// Threads  the one that holds it.
class StoppedProcess {
 public:
  // One in a group stop (SIGSTOP); or in any stop of ptrace where we are its tracer already, and
  // stay so. Errors: kNotFound, kFailedPrecondition (it runs, or somebody else traces it),
  // kPermissionDenied, kUnimplemented (another instruction set than ours).
  static Result<StoppedProcess> Hold(pid_t pid);
  StoppedProcess(StoppedProcess&& other) noexcept
      : pid_(std::exchange(other.pid_, 0)), detaches_(other.detaches_) {}
  StoppedProcess& operator=(StoppedProcess&&) = delete;
  ~StoppedProcess();

  // fcntl(fd, F_SETLK, lock). Errors: kUnavailable or kPermissionDenied (somebody else has it), as
  // the call's errno says; kDeadlineExceeded and kInternal when the call could not be made.
  Status SetRecordLock(int fd, const struct flock& lock);

 private:
  StoppedProcess(pid_t pid, bool detaches) : pid_(pid), detaches_(detaches) {}
  pid_t pid_;
  bool detaches_;
};

}  // namespace cryopod
