#include "agent/checkpoint/watch_births.h"

#include <chrono>

namespace cryopod::checkpoint {
namespace {

// A look costs two switches of context; what is born needs longer than this until it does anything.
constexpr std::chrono::milliseconds kLookInterval{5};

}  // namespace

void RunningDumps::OneHasEnded() {
  const std::lock_guard lock(mutex_);
  --count_;
  changed_.notify_one();
}

bool RunningDumps::HaveAllEnded() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kLookInterval, [this] { return count_ == 0; });
}

Status WatchForBirths(RunningDumps& running, const BirthWatch& births, const BirthMarks& before,
                      Deadline deadline, std::atomic<bool>& is_lost) {
  while (!running.HaveAllEnded()) {
    const Result<BirthMarks> now = births.Read(deadline);
    if (now.ok() && *now == before) continue;
    is_lost = true;
    // Now, as long as it is there to be named.
    return births.CheckNothingWasBorn(before, deadline);
  }
  return Status();
}

}  // namespace cryopod::checkpoint
