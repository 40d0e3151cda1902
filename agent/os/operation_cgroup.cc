#include "agent/os/operation_cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <set>
#include <thread>

#include "agent/os/cgroup.h"
#include "agent/os/cgroup_paths.h"
#include "agent/os/cgroup_tree.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"

namespace cryopod {
namespace {

constexpr char kTop[] = "cryopod";
// The last operation of a hierarchy takes the common parent with it, perhaps under our hands.
constexpr int kCreateTries = 8;
constexpr auto kKillPause = std::chrono::milliseconds(2);

Status CheckName(const std::string& name) {
  const bool plain = !name.empty() && name[0] != '.' && name.size() <= 200 &&
                     name.find('/') == std::string::npos && name.find('\n') == std::string::npos;
  if (plain) return Status();
  return Status(Code::kInvalidArgument, "\"" + name + "\" cannot name a cgroup");
}

// The first mount of each hierarchy.
Result<std::vector<CgroupMount>> Hierarchies() {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string mountinfo, ReadFile("/proc/self/mountinfo"));
  std::vector<CgroupMount> mounts;
  std::set<std::string> seen;
  for (CgroupMount& mount : ParseCgroupMounts(mountinfo)) {
    if (seen.insert(mount.controllers).second) mounts.push_back(std::move(mount));
  }
  return mounts;
}

// A cpuset of v1 without CPUs or memory nodes takes no process. It gets its parent's.
Status InheritCpuset(int parent_fd, int dir_fd) {
  for (const std::string file : {"cpuset.cpus", "cpuset.mems"}) {
    const Result<std::string> own = ReadFileAt(dir_fd, file);
    if (!own.ok() && own.status().code() == Code::kNotFound) continue;  // not a cpuset
    if (!own.ok()) return own.status();
    if (own->find_first_not_of(" \n") != std::string::npos) continue;
    CRYOPOD_ASSIGN_OR_RETURN(const std::string parents, ReadFileAt(parent_fd, file));
    CRYOPOD_RETURN_IF_ERROR(WriteControlFileAt(dir_fd, file, parents));
  }
  return Status();
}

Result<UniqueFd> MakeCgroup(int parent_fd, const std::string& name, bool is_v1) {
  if (::mkdirat(parent_fd, name.c_str(), 0755) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, "mkdir", name);
  }
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd dir, OpenAt(parent_fd, name, O_DIRECTORY | O_RDONLY));
  if (is_v1) CRYOPOD_RETURN_IF_ERROR(InheritCpuset(parent_fd, dir.get()));
  return dir;
}

Result<UniqueFd> CreateIn(const CgroupMount& mount, const std::string& name) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd root, OpenDirectory(mount.path));
  const bool is_v1 = !mount.controllers.empty();
  for (int tries = 1; true; ++tries) {
    Result<UniqueFd> top = MakeCgroup(root.get(), kTop, is_v1);
    Result<UniqueFd> dir = top.ok() ? MakeCgroup(top->get(), name, is_v1) : std::move(top);
    if (dir.ok() || dir.status().code() != Code::kNotFound || tries == kCreateTries) {
      return std::move(dir).While("making " + mount.path + "/" + kTop + "/" + name);
    }
  }
}

// Hierarchies that can neither freeze nor kill by themselves.
Status KillListed(int dir_fd, Deadline deadline) {
  while (true) {
    bool empty = true;
    CRYOPOD_RETURN_IF_ERROR(VisitCgroups(dir_fd, [&empty](int each) -> Status {
      CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> pids, ReadCgroupPids(each, "cgroup.procs"));
      for (const pid_t pid : pids) ::kill(pid, SIGKILL);
      empty = empty && pids.empty();
      return Status();
    }));
    if (empty) return Status();
    if (deadline.expired()) return Status(Code::kDeadlineExceeded, "its processes do not end");
    std::this_thread::sleep_for(kKillPause);
  }
}

Status KillIn(const std::string& path, Deadline deadline) {
  Result<Cgroup> cgroup = Cgroup::Open(path);
  if (!cgroup.ok()) return cgroup.status().code() == Code::kNotFound ? Status() : cgroup.status();
  const bool kills_itself =
      cgroup->version() == CgroupVersion::kV2 || PathExists(path + "/freezer.state");
  return kills_itself ? cgroup->Kill(deadline) : KillListed(cgroup->dir_fd(), deadline);
}

Status RemoveIn(const CgroupMount& mount, const std::string& name, Deadline deadline) {
  Result<UniqueFd> root = OpenDirectory(mount.path);
  if (!root.ok()) return Status();
  Result<UniqueFd> top = OpenAt(root->get(), kTop, O_DIRECTORY | O_RDONLY);
  if (!top.ok()) return top.status().code() == Code::kNotFound ? Status() : top.status();
  CRYOPOD_RETURN_IF_ERROR(RemoveCgroupAt(top->get(), name, deadline));
  // The last one out removes the parent; it stays while there are others.
  ::unlinkat(root->get(), kTop, AT_REMOVEDIR);
  return Status();
}

}  // namespace

Result<OperationCgroup> OperationCgroup::Create(const std::string& name) {
  CRYOPOD_RETURN_IF_ERROR(CheckName(name));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<CgroupMount> mounts, Hierarchies());
  OperationCgroup cgroup;
  Status last(Code::kFailedPrecondition, "no cgroup hierarchy is mounted");
  for (const CgroupMount& mount : mounts) {
    Result<UniqueFd> dir = CreateIn(mount, name);
    if (dir.ok()) {
      cgroup.dirs_.push_back(std::move(dir).value());
    } else {
      last = dir.status();
    }
  }
  if (cgroup.dirs_.empty()) return last.While("making a cgroup for operation " + name);
  return cgroup;
}

std::vector<int> OperationCgroup::dir_fds() const {
  std::vector<int> fds;
  fds.reserve(dirs_.size());
  for (const UniqueFd& dir : dirs_) fds.push_back(dir.get());
  return fds;
}

Status OperationCgroup::Remove(const std::string& name, Deadline deadline) {
  CRYOPOD_RETURN_IF_ERROR(CheckName(name));
  CRYOPOD_ASSIGN_OR_RETURN(std::vector<CgroupMount> mounts, Hierarchies());
  // Those that kill without letting anything run come first: the others then find nothing.
  std::stable_partition(mounts.begin(), mounts.end(), [](const CgroupMount& mount) {
    return mount.controllers.empty() || mount.controllers == "freezer";
  });
  Status first_error;
  const auto keep = [&first_error](Status status) {
    if (!status.ok() && first_error.ok()) first_error = std::move(status);
  };
  for (const CgroupMount& mount : mounts) {
    keep(KillIn(mount.path + "/" + kTop + "/" + name, deadline));
  }
  for (const CgroupMount& mount : mounts) keep(RemoveIn(mount, name, deadline));
  return first_error.While("removing the cgroups of operation " + name);
}

Result<std::vector<std::string>> OperationCgroup::List() {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<CgroupMount> mounts, Hierarchies());
  std::set<std::string> names;
  for (const CgroupMount& mount : mounts) {
    Result<std::vector<DirectoryEntry>> entries = ListDirectory(mount.path + "/" + kTop);
    if (!entries.ok()) continue;
    for (const DirectoryEntry& entry : *entries) {
      if (entry.type == DT_DIR) names.insert(entry.name);
    }
  }
  return std::vector<std::string>(names.begin(), names.end());
}

}  // namespace cryopod
