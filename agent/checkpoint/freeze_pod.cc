#include "agent/checkpoint/freeze_pod.h"

#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "agent/os/log.h"

namespace cryopod::checkpoint {
namespace {

using std::chrono::milliseconds;

// Some 300 ms of trying in all, in which the pod runs: whoever shares memory then does so for good.
constexpr int kFreezesMax = 12;
constexpr milliseconds kLongestPause{50};
// A leaf freezes within milliseconds, or it has a task that does not before it is let on: one whose
// exec waits for its threads, which v1 has frozen already and keeps from ending. So never long at a
// time, but longer each time: a large pod on a busy node must get there.
constexpr milliseconds kFirstPatience{250};
// What came in while CRIU had the leaf thawed may be such a task.
constexpr milliseconds kPatienceAgain{2000};

// 0 when both have the same memory, 1 when the first comes before the second.
long CompareMemory(pid_t one, pid_t other) {
  return ::syscall(SYS_kcmp, one, other, KCMP_VM, 0, 0);
}

// A process that is between vfork and exec has its parent's memory, and the parent, who waits for
// it in the kernel, can be stopped by nobody: CRIU would try for ten seconds, with the pod frozen.
// Source: kcmp(2), vfork(2).
Result<bool> StartsAProgram(const std::vector<DumpTarget>& targets) {
  for (const DumpTarget& target : targets) {
    CRYOPOD_ASSIGN_OR_RETURN(
        std::vector<pid_t> pids,
        target.cgroup.Processes().While("looking at container " + target.requested.name));
    // Not std::sort: one that has ended compares with nobody.
    std::ranges::stable_sort(pids,
                             [](pid_t one, pid_t other) { return CompareMemory(one, other) == 1; });
    const auto shared = std::ranges::adjacent_find(
        pids, [](pid_t one, pid_t other) { return CompareMemory(one, other) == 0; });
    if (shared != pids.end()) return true;
  }
  return false;
}

}  // namespace

FrozenPod::FrozenPod(FrozenPod&& other) noexcept
    : targets_(std::exchange(other.targets_, nullptr)),
      stood_still_(other.stood_still_),
      since_(other.since_) {}

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
  *stood_still_ += FrozenFor();
  return first;
}

Status FrozenPod::WaitFrozenAgain(Deadline deadline) const {
  Status frozen = WaitFrozen(deadline.SoonerAfter(kPatienceAgain));
  if (frozen.code() != Code::kDeadlineExceeded || deadline.expired()) return frozen;
  return Status(Code::kAborted, "what came in cannot be frozen: " + frozen.message(),
                Reason::kPodChanged);
}

Result<FrozenPod> FreezePod(const std::vector<DumpTarget>& targets, Deadline deadline,
                            std::chrono::nanoseconds& stood_still) {
  milliseconds pause{1};
  milliseconds patience = kFirstPatience;
  for (int freezes = 1;; ++freezes) {
    FrozenPod frozen(&targets, stood_still);
    for (const DumpTarget& target : targets) {
      CRYOPOD_RETURN_IF_ERROR(
          target.cgroup.Freeze().While("freezing container " + target.requested.name));
    }
    Status stopped = frozen.WaitFrozen(deadline.SoonerAfter(patience));
    if (stopped.ok()) {
      CRYOPOD_ASSIGN_OR_RETURN(const bool starts, StartsAProgram(targets));
      if (!starts || freezes >= kFreezesMax || deadline.expired()) return frozen;
    } else if (stopped.code() != Code::kDeadlineExceeded || deadline.expired()) {
      return stopped;
    } else {
      patience *= 2;
    }
    CRYOPOD_RETURN_IF_ERROR(frozen.Thaw());
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
}

}  // namespace cryopod::checkpoint
