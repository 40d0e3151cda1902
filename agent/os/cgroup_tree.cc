#include "agent/os/cgroup_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

// Kernels refuse a deeper hierarchy long before (cgroup.max.depth is INT_MAX, but a path has a
// page).
constexpr int kDepthMax = 256;
constexpr auto kBusyPause = std::chrono::milliseconds(2);

Status VisitBeneath(int dir_fd, const std::function<Status(int dir_fd)>& visit, int depth) {
  if (depth > kDepthMax) return Status(Code::kResourceExhausted, "cgroups nested too deeply");
  CRYOPOD_RETURN_IF_ERROR(visit(dir_fd));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(dir_fd));
  for (const DirectoryEntry& entry : entries) {
    if (entry.type != DT_DIR) continue;
    Result<UniqueFd> child = OpenAt(dir_fd, entry.name, O_DIRECTORY | O_RDONLY);
    Status status = child.ok() ? VisitBeneath(child->get(), visit, depth + 1) : child.status();
    if (!status.ok() && status.code() != Code::kNotFound) return status;
  }
  return Status();
}

Status RemoveOnce(int parent_fd, const std::string& name) {
  Result<UniqueFd> dir = OpenAt(parent_fd, name, O_DIRECTORY | O_RDONLY);
  if (!dir.ok()) return dir.status().code() == Code::kNotFound ? Status() : dir.status();
  Result<std::vector<DirectoryEntry>> entries = ListDirectory(dir->get());
  if (!entries.ok() && entries.status().code() != Code::kNotFound) return entries.status();
  if (entries.ok()) {
    for (const DirectoryEntry& entry : *entries) {
      if (entry.type == DT_DIR) CRYOPOD_RETURN_IF_ERROR(RemoveOnce(dir->get(), entry.name));
    }
  }
  if (::unlinkat(parent_fd, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return Status();
  return ErrnoStatus(errno, "remove cgroup", name);
}

}  // namespace

Status VisitCgroups(int dir_fd, const std::function<Status(int dir_fd)>& visit) {
  return VisitBeneath(dir_fd, visit, 0);
}

Result<std::vector<pid_t>> ReadCgroupPids(int dir_fd, const std::string& file) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFileAt(dir_fd, file));
  std::vector<pid_t> pids;
  for (const std::string_view word : SplitWords(text)) {
    pid_t pid = 0;
    if (!ParseNumber(word, pid)) return Status(Code::kDataLoss, file + ": not a list of PIDs");
    // As an argument of kill(2) a 0 would mean ourselves.
    if (pid <= 0) {
      return Status(Code::kFailedPrecondition, file + ": a process outside this PID namespace");
    }
    pids.push_back(pid);
  }
  return pids;
}

Status RemoveCgroupAt(int parent_fd, const std::string& name, Deadline deadline) {
  while (true) {
    Status status = RemoveOnce(parent_fd, name);
    // EBUSY; everything else will not change by waiting.
    if (status.ok() || status.code() != Code::kFailedPrecondition || deadline.expired()) {
      return status;
    }
    std::this_thread::sleep_for(kBusyPause);
  }
}

}  // namespace cryopod
