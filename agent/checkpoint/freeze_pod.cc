#include "agent/checkpoint/freeze_pod.h"

#include <utility>

#include "agent/os/log.h"

namespace cryopod::checkpoint {

FrozenPod::FrozenPod(FrozenPod&& other) noexcept
    : targets_(std::exchange(other.targets_, nullptr)), since_(other.since_) {}

FrozenPod::~FrozenPod() {
  const Status status = Thaw();
  // The one thing below the daemon that is logged: nobody else will hear of it.
  if (!status.ok())
    Log(LogLevel::kError, "the pod could not be thawed", {{"reason", status.message()}});
}

Status FrozenPod::WaitFrozen(Deadline deadline) const {
  for (const DumpTarget& target : *targets_) {
    Status frozen =
        target.cgroup.WaitFrozen(deadline).While("freezing container " + target.requested.name);
    if (frozen.code() == Code::kDeadlineExceeded) {
      return Status(frozen.code(), frozen.message(), Reason::kNotStoppable);
    }
    CRYOPOD_RETURN_IF_ERROR(std::move(frozen));
  }
  return Status();
}

Status FrozenPod::Thaw() {
  Status first;
  if (targets_ == nullptr) return first;
  for (const DumpTarget& target : *std::exchange(targets_, nullptr)) {
    Status thawed = target.cgroup.Thaw().While("thawing container " + target.requested.name);
    // A cgroup that is gone has nothing frozen in it.
    if (!thawed.ok() && thawed.code() != Code::kNotFound && first.ok()) first = std::move(thawed);
  }
  return first;
}

std::chrono::nanoseconds FrozenPod::FrozenFor() const { return Deadline::Clock::now() - since_; }

Result<FrozenPod> FreezePod(const std::vector<DumpTarget>& targets, Deadline deadline) {
  FrozenPod frozen(&targets, Deadline::Clock::now());
  for (const DumpTarget& target : targets) {
    CRYOPOD_RETURN_IF_ERROR(
        target.cgroup.Freeze().While("freezing container " + target.requested.name));
  }
  CRYOPOD_RETURN_IF_ERROR(frozen.WaitFrozen(deadline));
  return frozen;
}

}  // namespace cryopod::checkpoint
