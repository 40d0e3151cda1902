#include "agent/daemon/end_within.h"

#include <unistd.h>

#include <thread>

#include "agent/os/log.h"

namespace cryopod::daemon {

void EndWithin(std::chrono::milliseconds limit) {
  // Detached: nothing that main waits for may keep it.
  std::thread([limit] {
    std::this_thread::sleep_for(limit);
    Log(LogLevel::kWarning, "ending in the middle of something, which the next start goes on with");
    ::_exit(0);
  }).detach();
}

}  // namespace cryopod::daemon
