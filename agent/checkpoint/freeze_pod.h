#pragma once

#include <chrono>
#include <vector>

#include "agent/checkpoint/resolve_pod.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// The promise to thaw: destroyed, it thaws every container of the pod.
//
// Threads  one thread at a time.
class FrozenPod {
 public:
  FrozenPod(FrozenPod&&) noexcept;
  FrozenPod& operator=(FrozenPod&&) = delete;
  ~FrozenPod();

  // Every leaf is frozen again: CRIU thaws a leaf while it works and asks it to freeze at its end.
  // Errors: kAborted: something came in meanwhile that cannot be frozen; kDeadlineExceeded.
  Status WaitFrozenAgain(Deadline deadline) const;
  // Errors name the container; every other one is thawed all the same.
  Status Thaw();
  // Nothing is left to thaw: the containers were killed while frozen.
  void Forget() { targets_ = nullptr; }

  // Since the first leaf was asked to freeze.
  std::chrono::nanoseconds FrozenFor() const { return Deadline::Clock::now() - since_; }

 private:
  friend Result<FrozenPod> FreezePod(const std::vector<DumpTarget>& targets, Deadline deadline,
                                     std::chrono::nanoseconds& stood_still);
  FrozenPod(const std::vector<DumpTarget>* targets, std::chrono::nanoseconds& stood_still)
      : targets_(targets), stood_still_(&stood_still), since_(Deadline::Clock::now()) {}
  Status WaitFrozen(Deadline deadline) const;

  const std::vector<DumpTarget>* targets_;
  std::chrono::nanoseconds* stood_still_;
  Deadline::Clock::time_point since_;
};

// Asks every leaf cgroup to freeze, then waits until all report frozen: this is the cut.
// The leaves, never only their parent, under which CRIU would wait for ever. A pod that is caught
// between vfork and exec, or does not freeze at once, is thawed and frozen again a moment later.
// `targets` must outlive the answer, and so must `stood_still`, to which every freeze is added when
// it ends by a thaw, also those that did not get that far. Errors: kDeadlineExceeded (names the
// container); everything is thawed then.
Result<FrozenPod> FreezePod(const std::vector<DumpTarget>& targets, Deadline deadline,
                            std::chrono::nanoseconds& stood_still);

}  // namespace cryopod::checkpoint
