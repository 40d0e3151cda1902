#pragma once

#include "agent/os/status.h"

namespace cryopod::checkpoint {

// SIGTERM asks this process to give its checkpoint up. It is looked at where that is safe, never
// inside a dump: CRIU ends first, the pod is let go, and what was captured is discarded. Once the
// archive is being committed it is too late.
//
// Threads  WatchForCancellation before the first one; CheckNotCancelled any.
void WatchForCancellation();
// Errors: kCancelled.
Status CheckNotCancelled();

}  // namespace cryopod::checkpoint
