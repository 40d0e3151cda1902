#include "agent/checkpoint/cancellation.h"

#include <atomic>
#include <csignal>

namespace cryopod::checkpoint {
namespace {

std::atomic<bool> cancelled = false;
static_assert(std::atomic<bool>::is_always_lock_free);

}  // namespace

void WatchForCancellation() {
  struct sigaction action {};
  action.sa_handler = [](int) { cancelled = true; };
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGTERM, &action, nullptr);
}

Status CheckNotCancelled() {
  return cancelled ? Status(Code::kCancelled, "the operation was cancelled") : Status();
}

}  // namespace cryopod::checkpoint
