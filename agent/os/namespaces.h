#pragma once

#include <functional>
#include <string>
#include <utility>

#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod {

// Runs `act` in a forked child that has joined the namespace `ns_fd` (CLONE_NEWUTS, NEWIPC, NEWNET,
// NEWNS, whose root becomes its own, or NEWPID, for which the act runs in a child of the child,
// because the kernel puts only children there), and returns what it returned. `act` must not touch
// locks or other threads' state. Errors: of `act`; kDeadlineExceeded: the child was killed.
Result<std::string> RunInNamespace(int ns_fd, int ns_type,
                                   const std::function<Result<std::string>()>& act,
                                   Deadline deadline);

// Host name of the UTS namespace behind `ns_fd`.
Result<std::string> ReadHostname(int uts_ns_fd, Deadline deadline);
Status WriteHostname(int uts_ns_fd, const std::string& hostname, Deadline deadline);

// System V IPC objects of the IPC namespace, one "shm key 0x1 id 3"-like line each; empty when
// none.
Result<std::string> ListSysVIpc(int ipc_ns_fd, Deadline deadline);

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
