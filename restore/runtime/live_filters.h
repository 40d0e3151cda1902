#pragma once

#include <vector>

#include "agent/os/deadline.h"
#include "agent/os/seccomp_filters.h"
#include "agent/os/status.h"
#include "restore/runtime/protocol/messages.h"
#include "restore/runtime/wrapper.h"

namespace cryopod::wrapper {

// The seccomp filters that a process of the request would have, the oldest first; none where it
// asks for none.
//
// What a runtime makes of a profile nobody else can say: runc adds a filter of its own in front,
// and libseccomp decides on the order. So the OCI runtime creates a container of the same profile
// that holds nothing and never starts, and the filters are read from its first process. They are
// kept beside the agent's socket, where a restart of the node ends them, for as long as the program
// is the same file. One such container is there at a time, in a cgroup beside the request's own;
// what an earlier call has left of its own is removed first.
//
// Errors  kUnimplemented (the profile hands calls to a supervisor), kFailedPrecondition (the
//         runtime could not create it, or no filter was there), kDeadlineExceeded, those of files.
Result<std::vector<SeccompFilter>> LiveFilters(const Call& call, const Request& request,
                                               Deadline deadline);

}  // namespace cryopod::wrapper
