#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "agent/json/fields.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::jobs {

struct JobEvent {
  std::string stage;
  std::string container;  // empty: the pod
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  bool operator==(const JobEvent&) const = default;
};
void Describe(json::Fields& fields, JobEvent& event);

// The job's `events` file: one JSON line an event, appended with one write each, so that a reader
// sees whole lines. A line that cannot be written is lost: progress is no reason to fail.
//
// Threads  any.
class EventLog {
 public:
  static Result<EventLog> Open(const std::string& job_dir);
  void Append(const JobEvent& event) const;

 private:
  explicit EventLog(UniqueFd file) : file_(std::move(file)) {}
  UniqueFd file_;
};

// Whole lines appended to the file since `offset`, which moves on. A line that is not understood is
// left out.
std::vector<JobEvent> ReadNewEvents(const std::string& job_dir, size_t& offset);

}  // namespace cryopod::jobs
