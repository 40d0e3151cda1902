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
  friend Result<FrozenPod> FreezePod(const std::vector<DumpTarget>& targets, Deadline deadline);
  FrozenPod(const std::vector<DumpTarget>* targets, Deadline::Clock::time_point since)
      : targets_(targets), since_(since) {}
  Status WaitFrozen(Deadline deadline) const;

  const std::vector<DumpTarget>* targets_;
  Deadline::Clock::time_point since_;
};

// Asks every leaf cgroup to freeze, then waits until all report frozen: this is the cut.
// The leaves, never only their parent, under which CRIU would wait for ever. A pod that is caught
// between vfork and exec, or does not freeze at once, is thawed and frozen again a moment later.
// `targets` must outlive the answer. Errors: kDeadlineExceeded (names the container); everything is
// thawed then.
Result<FrozenPod> FreezePod(const std::vector<DumpTarget>& targets, Deadline deadline);

}  // namespace cryopod::checkpoint
