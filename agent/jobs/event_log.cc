#include "agent/jobs/event_log.h"

#include <fcntl.h>
#include <unistd.h>

#include "agent/os/file.h"

namespace cryopod::jobs {

Result<EventLog> EventLog::Open(int job_dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd file,
                           OpenAt(job_dir_fd, kEventsFile, O_WRONLY | O_CREAT | O_APPEND, 0600));
  return EventLog(std::move(file));
}

void EventLog::Append(const JobEvent& event) const {
  const std::string line = ToJson(event) + "\n";
  if (::write(file_.get(), line.data(), line.size()) < 0) return;
}

}  // namespace cryopod::jobs
