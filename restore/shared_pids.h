#pragma once

#include <string>

#include "agent/os/status.h"

namespace cryopod::restore {

// CRIU restores a container from within its PID namespace, and holds until near its end what the
// node's root may. In a namespace that the pod's containers share, one of them that runs already
// and has CAP_SYS_PTRACE would have the node through CRIU's processes.
//
// `pid_ns_path`: the namespace that is shared; empty, when the container gets its own, where all
// there is waits for CRIU. Stopped processes do nothing: what is restored and held is stopped.
// Errors: kFailedPrecondition, names the process.
Status CheckNobodyMayTrace(const std::string& pid_ns_path);

}  // namespace cryopod::restore
