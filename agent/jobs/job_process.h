#pragma once

#include <chrono>
#include <optional>
#include <utility>

#include "agent/jobs/checkpoint_job.h"
#include "agent/os/deadline.h"
#include "agent/os/subprocess.h"
#include "agent/os/unique_fd.h"

namespace cryopod::jobs {

// The process of an operation: our child, or one that an earlier agent started and we adopt.
class JobProcess {
 public:
  JobProcess() = default;  // one that has ended
  explicit JobProcess(Subprocess child) : child_(std::move(child)) {}
  explicit JobProcess(const jobs::ProcessIdentity& identity) {
    Result<UniqueFd> pidfd = OpenPidfd(identity.pid);
    // The pidfd first: what it holds is then the process whose start time is compared.
    if (pidfd.ok() && jobs::IsAlive(identity)) pidfd_ = std::move(pidfd).value();
  }

  bool alive() const {
    return fd() >= 0 && !PidfdEnded(fd(), Deadline::After(std::chrono::nanoseconds(0)));
  }
  // Waits until the deadline for its end.
  bool Ended(Deadline deadline) const { return fd() < 0 || PidfdEnded(fd(), deadline); }

 private:
  int fd() const { return child_ ? child_->pidfd() : pidfd_.get(); }
  std::optional<Subprocess> child_;
  UniqueFd pidfd_;
};

}  // namespace cryopod::jobs
