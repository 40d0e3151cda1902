#pragma once

#include <utility>

#include "agent/jobs/checkpoint_job.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::jobs {

// The job's `events` file: one JSON line an event, appended with one write each, so that a reader
// sees whole lines. A line that cannot be written is lost: progress is no reason to fail.
//
// Threads  any.
class EventLog {
 public:
  static Result<EventLog> Open(int job_dir_fd);
  void Append(const JobEvent& event) const;

 private:
  explicit EventLog(UniqueFd file) : file_(std::move(file)) {}
  UniqueFd file_;
};

}  // namespace cryopod::jobs
