#include "agent/jobs/job_events.h"

#include <fcntl.h>
#include <unistd.h>

#include "agent/jobs/job_file.h"
#include "agent/os/file.h"

namespace cryopod::jobs {
namespace {

constexpr size_t kEventsBytesMax = size_t{16} << 20;

}  // namespace

void Describe(json::Fields& fields, JobEvent& event) {
  fields.Required("stage", event.stage);
  fields.Optional("container", event.container);
  fields.Optional("bytes_done", event.bytes_done);
  fields.Optional("bytes_total", event.bytes_total);
}

Result<EventLog> EventLog::Open(const std::string& job_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd file, OpenAt(AT_FDCWD, job_dir + "/" + kEventsFile,
                                                 O_WRONLY | O_CREAT | O_APPEND, 0600));
  return EventLog(std::move(file));
}

void EventLog::Append(const JobEvent& event) const {
  const std::string line = ToText(event) + "\n";
  if (::write(file_.get(), line.data(), line.size()) < 0) return;
}

std::vector<JobEvent> ReadNewEvents(const std::string& job_dir, size_t& offset) {
  std::vector<JobEvent> events;
  const Result<UniqueFd> file = OpenAt(AT_FDCWD, job_dir + "/" + kEventsFile, O_RDONLY);
  if (!file.ok() || ::lseek(file->get(), static_cast<off_t>(offset), SEEK_SET) < 0) return events;
  const Result<std::string> text = ReadAll(file->get(), kEventsBytesMax);
  if (!text.ok()) return events;
  size_t begin = 0;
  for (size_t end; (end = text->find('\n', begin)) != std::string::npos; begin = end + 1) {
    Result<JobEvent> event =
        FromText<JobEvent>(std::string_view(*text).substr(begin, end - begin), kEventsFile);
    if (event.ok()) events.push_back(std::move(event).value());
  }
  offset += begin;
  return events;
}

}  // namespace cryopod::jobs
