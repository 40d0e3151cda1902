#pragma once

#include <atomic>
#include <csignal>

#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// SIGTERM asks this process to give its checkpoint up. It is looked at where that is safe, never
// inside a dump: CRIU ends first, the pod is let go, and what was captured is discarded. Once the
// archive is being committed it is too late.
inline std::atomic<bool> is_cancelled = false;
static_assert(std::atomic<bool>::is_always_lock_free);

// Before the first thread.
inline void WatchForCancellation() {
  struct sigaction action {};
  action.sa_handler = [](int) { is_cancelled = true; };
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGTERM, &action, nullptr);
}

// From any thread. Errors: kCancelled.
inline Status CheckNotCancelled() {
  return is_cancelled ? Status(Code::kCancelled, "the operation was cancelled") : Status();
}

// Errors: kCancelled, kDeadlineExceeded.
inline Status CheckMayGoOn(Deadline deadline) {
  if (!deadline.expired()) return CheckNotCancelled();
  return Status(Code::kDeadlineExceeded, "the time for the checkpoint is over (--timeout)");
}

}  // namespace cryopod::checkpoint
