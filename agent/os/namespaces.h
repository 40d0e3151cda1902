#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod {

// Runs `act` in a forked child that has joined the namespace `ns_fd` (CLONE_NEWUTS, NEWIPC, NEWNET,
// or NEWNS, whose root becomes its own), and returns what it returned. `act` must not touch locks
// or other threads' state. Errors: of `act`; kDeadlineExceeded: the child was killed.
//
// No process of a pod can see the child, which stays in our PID namespace; so there is no NEWPID
// here (last_pid/). It has lost every right all the same before `act` begins, but the capabilities
// `kept` (CAP_SYS_ADMIN), which count in what the namespace is made of.
Result<std::string> RunInNamespace(int ns_fd, int ns_type, const std::vector<int>& kept,
                                   const std::function<Result<std::string>()>& act,
                                   Deadline deadline);

// Host name of the UTS namespace behind `ns_fd`.
Result<std::string> ReadHostname(int uts_ns_fd, Deadline deadline);
Status WriteHostname(int uts_ns_fd, const std::string& hostname, Deadline deadline);

// System V IPC objects of the IPC namespace, one "shm key 0x1 id 3"-like line each; empty when
// none.
Result<std::string> ListSysVIpc(int ipc_ns_fd, Deadline deadline);

}  // namespace cryopod
