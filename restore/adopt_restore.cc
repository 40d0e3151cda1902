// The part of PodRestore that goes on where a process that is gone has ended.
#include <algorithm>

#include "restore/pod_restore.h"
#include "restore/verify_container.h"

namespace cryopod::restore {

void PodRestore::AdoptContainer(ContainerReport& container) {
  const bool consumed = IsConsumed(container);
  if (consumed && container.phase == Phase::kRestored) container.phase = Phase::kHeld;
  switch (container.phase) {
    case Phase::kHeld:
    case Phase::kStarted:
    case Phase::kColdStarted:
      return;
    case Phase::kRestored:
      if (VerifyAlive(container).ok()) return;
      break;
    case Phase::kRestoring:
    case Phase::kWaiting:
    case Phase::kStaged:
    case Phase::kFailed:
      break;
  }
  if (container.phase == Phase::kRestored || container.phase == Phase::kRestoring) {
    EndAttempt(container);
  }
  container.phase = Phase::kWaiting;
}

void PodRestore::Adopt(const Report& left) {
  report_.containers = left.containers;
  for (ContainerReport& container : report_.containers) AdoptContainer(container);
  const bool any_held =
      std::any_of(report_.containers.begin(), report_.containers.end(),
                  [](const ContainerReport& entry) { return entry.phase == Phase::kHeld; });
  // The time to hold it has passed while nobody watched.
  if (any_held) ReleaseHeld();
  Save();
}

}  // namespace cryopod::restore
