#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "agent/os/deadline.h"
#include "agent/os/status.h"

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

}  // namespace cryopod
