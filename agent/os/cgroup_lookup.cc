#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "agent/os/cgroup.h"
#include "agent/os/cgroup_paths.h"
#include "agent/os/cgroup_tree.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

// A search for a process below a mount looks at no more cgroups than this: a full node has some
// thousands.
constexpr int kSearchMax = 100'000;

Result<CgroupVersion> VersionOf(int dir_fd, const std::string& path) {
  struct statfs info {};
  if (::fstatfs(dir_fd, &info) != 0) return ErrnoStatus(errno, "statfs", path);
  if (info.f_type == CGROUP2_SUPER_MAGIC) return CgroupVersion::kV2;
  if (info.f_type == CGROUP_SUPER_MAGIC) return CgroupVersion::kV1;
  return Status(Code::kFailedPrecondition, path + " is not a cgroup directory");
}

bool Lists(int dir_fd, pid_t pid) {
  const Result<std::vector<pid_t>> pids = ReadCgroupPids(dir_fd, "cgroup.procs");
  // A threaded cgroup does not list processes; a foreign PID does not say that ours is absent.
  if (!pids.ok()) return pids.status().code() != Code::kNotFound;
  return std::find(pids->begin(), pids->end(), pid) != pids->end();
}

// The directory that lists the process, anywhere beneath `path`.
std::optional<std::string> FindByMember(const std::string& path, pid_t pid, int& left) {
  if (--left < 0) return std::nullopt;
  Result<UniqueFd> dir = OpenDirectory(path);
  if (!dir.ok()) return std::nullopt;
  const Result<std::vector<pid_t>> pids = ReadCgroupPids(dir->get(), "cgroup.procs");
  if (pids.ok() && std::find(pids->begin(), pids->end(), pid) != pids->end()) return path;
  const Result<std::vector<DirectoryEntry>> entries = ListDirectory(dir->get());
  if (!entries.ok()) return std::nullopt;
  for (const DirectoryEntry& entry : *entries) {
    if (entry.type != DT_DIR) continue;
    std::optional<std::string> found = FindByMember(path + "/" + entry.name, pid, left);
    if (found) return found;
  }
  return std::nullopt;
}

// The cgroup of the process as one mount of its hierarchy shows it, when it shows it.
std::optional<Cgroup> OpenInMount(const CgroupMount& mount, const std::string& cgroup_path,
                                  pid_t pid) {
  const PathInMount in_mount = CgroupPathInMount(cgroup_path, mount.root);
  std::optional<std::string> path;
  if (in_mount.relation == PathInMount::kBeneath) path = mount.path + in_mount.path;
  int left = kSearchMax;
  if (in_mount.relation == PathInMount::kUnknown) path = FindByMember(mount.path, pid, left);
  // The top of what this node sees holds the node itself, and us: nobody's leaf, also where a
  // cgroup namespace makes it freezable.
  if (!path || *path == mount.path) return std::nullopt;
  Result<Cgroup> cgroup = Cgroup::Open(*path);
  if (!cgroup.ok() || !Lists(cgroup->dir_fd(), pid)) return std::nullopt;
  return std::move(cgroup).value();
}

// Nobody can freeze a hierarchy's root: it has no such file.
bool CanFreeze(const Cgroup& cgroup) {
  const char* file = cgroup.version() == CgroupVersion::kV1 ? "freezer.state" : "cgroup.freeze";
  return OpenAt(cgroup.dir_fd(), file, O_PATH).ok();
}

bool HasController(std::string_view controllers, std::string_view wanted) {
  const std::vector<std::string_view> names = Split(controllers, ',');
  return std::find(names.begin(), names.end(), wanted) != names.end();
}

}  // namespace

Result<Cgroup> Cgroup::Open(const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd dir, OpenDirectory(path));
  CRYOPOD_ASSIGN_OR_RETURN(const CgroupVersion version, VersionOf(dir.get(), path));
  return Cgroup(version, path, std::move(dir));
}

Result<Cgroup> Cgroup::OfProcess(pid_t pid) {
  const std::string name = std::to_string(pid);
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile("/proc/" + name + "/cgroup"));
  CRYOPOD_ASSIGN_OR_RETURN(const std::string mountinfo, ReadFile("/proc/self/mountinfo"));
  const std::vector<CgroupMount> mounts = ParseCgroupMounts(mountinfo);
  for (const std::string_view hierarchy : {"freezer", ""}) {
    const std::optional<std::string> path = CgroupPathOf(text, hierarchy);
    if (!path) continue;
    for (const CgroupMount& mount : mounts) {
      if (!HasController(mount.controllers, hierarchy)) continue;
      std::optional<Cgroup> cgroup = OpenInMount(mount, *path, pid);
      if (cgroup && CanFreeze(*cgroup)) return std::move(*cgroup);
    }
  }
  if (!PathExists("/proc/" + name)) {
    return Status(Code::kNotFound, "process " + name + " has ended");
  }
  return Status(Code::kFailedPrecondition,
                "process " + name +
                    " is in no cgroup beneath the top of a mounted hierarchy that can freeze (" +
                    DescribeCgroups(text) + ")");
}

}  // namespace cryopod
