// The part of PodRestore that goes on where a process that is gone has ended.
#include <algorithm>

#include "restore/pod_restore.h"
#include "restore/verify_container.h"

namespace cryopod::restore {

void PodRestore::AdoptContainer(jobs::ContainerReport& container) {
  const bool consumed = IsConsumed(container);
  if (consumed && container.phase == jobs::Phase::kRestored) container.phase = jobs::Phase::kHeld;
  switch (container.phase) {
    case jobs::Phase::kHeld:
    case jobs::Phase::kStarted:
    case jobs::Phase::kColdStarted:
      return;
    case jobs::Phase::kRestored:
      if (VerifyAlive(container).ok()) return;
      break;
    case jobs::Phase::kRestoring:
    case jobs::Phase::kWaiting:
    case jobs::Phase::kStaged:
    case jobs::Phase::kFailed:
      break;
  }
  if (container.phase == jobs::Phase::kRestored || container.phase == jobs::Phase::kRestoring) {
    EndAttempt(container);
  }
  container.phase = jobs::Phase::kWaiting;
}

void PodRestore::Adopt(const jobs::Report& left) {
  report_.containers = left.containers;
  for (jobs::ContainerReport& container : report_.containers) AdoptContainer(container);
  const bool any_held = std::any_of(
      report_.containers.begin(), report_.containers.end(),
      [](const jobs::ContainerReport& entry) { return entry.phase == jobs::Phase::kHeld; });
  // The time to hold it has passed while nobody watched.
  if (any_held) ReleaseHeld();
  Save();
}

}  // namespace cryopod::restore
