#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include "agent/json/fields.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/subprocess.h"
#include "agent/os/unique_fd.h"

namespace cryopod::jobs {

// A process by PID and start time: the pair does not come back.
struct ProcessIdentity {
  pid_t pid = 0;
  uint64_t start_ticks = 0;
  bool operator==(const ProcessIdentity&) const = default;
};
void Describe(json::Fields& fields, ProcessIdentity& identity);

// True while the very process lives.
bool IsAlive(const ProcessIdentity& identity);
Result<ProcessIdentity> IdentifyProcess(pid_t pid);

// The process of an operation: our child, or one that an earlier agent started and we adopt.
class JobProcess {
 public:
  JobProcess() = default;  // one that has ended
  explicit JobProcess(Subprocess child) : child_(std::move(child)) {}
  explicit JobProcess(const ProcessIdentity& identity);

  bool alive() const { return !Ended(Deadline::After(std::chrono::nanoseconds(0))); }
  // Waits until the deadline for its end.
  bool Ended(Deadline deadline) const { return fd() < 0 || PidfdEnded(fd(), deadline); }
  // Asks it to unwind and end: SIGTERM. One that has ended is not asked.
  void AskToEnd() const;

 private:
  int fd() const { return child_ ? child_->pidfd() : pidfd_.get(); }
  std::optional<Subprocess> child_;
  UniqueFd pidfd_;
};

}  // namespace cryopod::jobs
