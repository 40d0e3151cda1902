#include "agent/jobs/job_directory.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "agent/os/cgroup.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"
#include "agent/os/mount.h"

namespace cryopod::jobs {
namespace {

constexpr size_t kEventsBytesMax = size_t{16} << 20;
constexpr std::chrono::seconds kCgroupTimeout{10};

}  // namespace

Status CreateJobDirectory(const std::string& jobs_dir, const std::string& operation_id,
                          const std::string& request) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd jobs, OpenDirectory(jobs_dir));
  CRYOPOD_RETURN_IF_ERROR(MakeDirectoryAt(jobs.get(), operation_id, 0700));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd directory,
                           OpenAt(jobs.get(), operation_id, O_RDONLY | O_DIRECTORY));
  return WriteFileAtomically(directory.get(), jobs::kRequestFile, request);
}

Result<std::vector<std::string>> ListJobs(const std::string& jobs_dir, const std::string& prefix) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(jobs_dir));
  std::vector<std::string> ids;
  for (const DirectoryEntry& entry : entries) {
    if (entry.name.starts_with(prefix)) ids.push_back(entry.name);
  }
  return ids;
}

Result<Subprocess> StartJobProcess(const std::string& program, const std::string& job_dir,
                                   const std::string& operation_id) {
  CRYOPOD_ASSIGN_OR_RETURN(const OperationCgroup cgroup, OperationCgroup::Create(operation_id));
  SpawnOptions options;
  options.argv = {program, "--job", job_dir};
  const char* const path = std::getenv("PATH");
  options.environment = {
      std::string("PATH=") + (path != nullptr ? path : "/usr/sbin:/usr/bin:/sbin:/bin"),
      std::string(kLogLevelVariable) + "=" + std::string(LogLevelName(GetLogLevel()))};
  options.new_session = true;
  options.umask = 077;
  options.descriptors = {{2, STDERR_FILENO}};
  options.cgroup_dir_fds = cgroup.dir_fds();
  return Subprocess::Spawn(options);
}

std::vector<jobs::JobEvent> ReadNewEvents(const std::string& job_dir, size_t& offset) {
  std::vector<jobs::JobEvent> events;
  const Result<UniqueFd> file = OpenAt(AT_FDCWD, job_dir + "/" + jobs::kEventsFile, O_RDONLY);
  if (!file.ok() || ::lseek(file->get(), static_cast<off_t>(offset), SEEK_SET) < 0) return events;
  const Result<std::string> text = ReadAll(file->get(), kEventsBytesMax);
  if (!text.ok()) return events;
  size_t begin = 0;
  for (size_t end; (end = text->find('\n', begin)) != std::string::npos; begin = end + 1) {
    Result<jobs::JobEvent> event =
        jobs::ParseJobEvent(std::string_view(*text).substr(begin, end - begin));
    if (event.ok()) events.push_back(std::move(event).value());
  }
  offset += begin;
  return events;
}

Status RemoveJob(const std::string& jobs_dir, const std::string& operation_id) {
  CRYOPOD_RETURN_IF_ERROR(OperationCgroup::Remove(operation_id, Deadline::After(kCgroupTimeout)));
  const std::string path = jobs_dir + "/" + operation_id;
  CRYOPOD_RETURN_IF_ERROR(UnmountAll(path + "/" + jobs::kStagingDirectory));
  return RemoveTree(path);
}

}  // namespace cryopod::jobs
