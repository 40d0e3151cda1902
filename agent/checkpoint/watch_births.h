#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>

#include "agent/checkpoint/check_members.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::checkpoint {

// How many dumps have not ended yet.
//
// Threads  any.
class RunningDumps {
 public:
  explicit RunningDumps(size_t count) : count_(count) {}
  void OneHasEnded();
  // Waits a moment for the last one.
  bool HaveAllEnded();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t count_;
};

// Looks until all dumps have ended whether something was born in the pod since `before`. As soon as
// that is so, no dump can become an archive any more: `is_lost` is set, and what was born is named.
// Errors: kAborted.
Status WatchForBirths(RunningDumps& running, const BirthWatch& births, const BirthMarks& before,
                      Deadline deadline, std::atomic<bool>& is_lost);

}  // namespace cryopod::checkpoint
