#include "agent/jobs/job_directory.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "agent/os/cgroup.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"
#include "agent/os/mount.h"
#include "agent/os/operation_cgroup.h"
#include "agent/os/text.h"

namespace cryopod::jobs {
namespace {

constexpr std::chrono::seconds kCgroupTimeout{10};

constexpr size_t kIdBytesMax = 64;

bool IsIdByte(char byte) {
  const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
  return letter || (byte >= '0' && byte <= '9') || byte == '-';
}

struct Kind {
  JobKind kind = JobKind::kCheckpoint;
};

void Describe(json::Fields& fields, Kind& request) {
  fields.Named("kind", request.kind, kJobKinds);
}

}  // namespace

std::string NewOperationId(JobKind kind) {
  uint32_t chance = 0;
  if (::getrandom(&chance, sizeof chance, 0) != sizeof chance) {
    chance = static_cast<uint32_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  }
  std::array<char, 64> id{};
  std::snprintf(id.data(), id.size(), "%c-%s-%08x", kJobKinds[static_cast<size_t>(kind)].front(),
                NowText("%Y%m%d-%H%M%S").c_str(), chance);
  return id.data();
}

Status CheckOperationId(const std::string& id) {
  if (!id.empty() && id.size() <= kIdBytesMax && id.front() != '-' &&
      std::all_of(id.begin(), id.end(), IsIdByte)) {
    return Status();
  }
  return Status(Code::kInvalidArgument,
                "operation ID \"" + JsonEscape(id.substr(0, 80)) +
                    "\": letters, digits and '-' are allowed, at most 64, no '-' first");
}

Status CreateJobDirectory(const std::string& jobs_dir, const std::string& operation_id,
                          const std::string& request) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd jobs, OpenDirectory(jobs_dir));
  CRYOPOD_RETURN_IF_ERROR(MakeDirectoryAt(jobs.get(), operation_id, 0700));
  return internal::WriteText(jobs_dir + "/" + operation_id + "/" + kRequestFile, request);
}

Result<std::vector<ListedJob>> ListJobs(const std::string& jobs_dir) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(jobs_dir));
  std::vector<ListedJob> jobs;
  for (const DirectoryEntry& entry : entries) {
    const Result<Kind> kind = ReadFileOf<Kind>(jobs_dir + "/" + entry.name, kRequestFile);
    ListedJob& job = jobs.emplace_back();
    job.id = entry.name;
    job.readable = kind.status();
    if (kind.ok()) job.kind = kind->kind;
  }
  return jobs;
}

Result<Subprocess> StartJobProcess(const std::string& program, const std::string& job_dir,
                                   const std::string& operation_id) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<UniqueFd> cgroups, MakeOperationCgroup(operation_id));
  SpawnOptions options;
  options.argv = {program, "--job", job_dir};
  const char* const path = std::getenv("PATH");
  options.environment = {
      std::string("PATH=") + (path != nullptr ? path : "/usr/sbin:/usr/bin:/sbin:/bin"),
      std::string(kLogLevelVariable) + "=" + std::string(LogLevelName(GetLogLevel()))};
  options.new_session = true;
  options.umask = 077;
  options.descriptors = {{2, STDERR_FILENO}};
  for (const UniqueFd& dir : cgroups) options.cgroup_dir_fds.push_back(dir.get());
  return Subprocess::Spawn(options);
}

Status RemoveJob(const std::string& jobs_dir, const std::string& operation_id) {
  CRYOPOD_RETURN_IF_ERROR(RemoveOperationCgroup(operation_id, Deadline::After(kCgroupTimeout)));
  const std::string path = jobs_dir + "/" + operation_id;
  CRYOPOD_RETURN_IF_ERROR(UnmountAll(path + "/" + kStagingDirectory));
  return RemoveTree(path);
}

}  // namespace cryopod::jobs
