#include "agent/os/cgroup_paths.h"

#include <dirent.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>

#include "agent/os/cgroup.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/mount_info.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

// A search for a process below a mount looks at no more cgroups than this: a full node has some
// thousands.
constexpr int kSearchMax = 100'000;

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

}  // namespace

PathInMount CgroupPathInMount(const std::filesystem::path& cgroup_path,
                              const std::filesystem::path& mount_root) {
  const auto levels_up = [](const auto& path) {
    return std::count(path.begin(), path.end(), "..");
  };
  if (levels_up(mount_root) > levels_up(cgroup_path)) return {PathInMount::kUnknown, ""};
  const std::filesystem::path below = cgroup_path.lexically_relative(mount_root);
  if (below.empty() || *below.begin() == "..") return {PathInMount::kOutside, ""};
  return {PathInMount::kBeneath, below == "." ? "" : "/" + below.string()};
}

bool HasController(std::string_view controllers, std::string_view wanted) {
  const std::vector<std::string_view> names = Split(controllers, ',');
  return std::ranges::find(names, wanted) != names.end();
}

std::optional<std::string> CgroupPathOf(std::string_view proc_cgroup, std::string_view controller) {
  for (const std::string_view line : SplitLines(proc_cgroup)) {
    // "6:freezer:/a:b": the path may hold colons.
    const std::vector<std::string_view> parts = Split(line, ':');
    if (parts.size() < 3 || !HasController(parts[1], controller)) continue;
    return std::string(line.substr(parts[0].size() + parts[1].size() + 2));
  }
  return std::nullopt;
}

std::string DescribeCgroups(std::string_view proc_cgroup) {
  std::string text;
  for (const std::string_view controller : {"freezer", ""}) {
    const std::optional<std::string> path = CgroupPathOf(proc_cgroup, controller);
    if (!path) continue;
    if (!text.empty()) text += ", ";
    text += controller.empty() ? "unified" : std::string(controller);
    text += ":" + *path;
  }
  return text.empty() ? "neither the freezer nor the unified hierarchy is there" : text;
}

std::vector<CgroupMount> ParseCgroupMounts(std::string_view mountinfo) {
  std::vector<CgroupMount> mounts;
  for (const std::string_view line : SplitLines(mountinfo)) {
    // One line that we do not understand must not hide the others.
    const Result<std::vector<MountEntry>> parsed = ParseMountInfo(line);
    if (!parsed.ok() || parsed->empty()) continue;
    const MountEntry& entry = parsed->front();
    const bool is_v2 = entry.file_system_type == "cgroup2";
    if (!is_v2 && entry.file_system_type != "cgroup") continue;
    mounts.push_back({is_v2 ? "" : entry.super_options, entry.mount_point, entry.root});
  }
  return mounts;
}

Result<std::vector<CgroupMount>> ReadCgroupMounts() {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string mountinfo, ReadFile("/proc/self/mountinfo"));
  return ParseCgroupMounts(mountinfo);
}

const CgroupMount* FreezingMount(const std::vector<CgroupMount>& mounts) {
  const CgroupMount* unified = nullptr;
  for (const CgroupMount& mount : mounts) {
    if (HasController(mount.controllers, "freezer")) return &mount;
    if (mount.controllers.empty()) unified = &mount;
  }
  return unified;
}

Result<std::string> OwnCgroupDirectory() {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile("/proc/self/cgroup"));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<CgroupMount> mounts, ReadCgroupMounts());
  const CgroupMount* const mount = FreezingMount(mounts);
  std::optional<std::string> path;
  if (mount != nullptr) path = CgroupPathOf(text, mount->controllers.empty() ? "" : "freezer");
  if (path) {
    const PathInMount in_mount = CgroupPathInMount(*path, mount->root);
    if (in_mount.relation == PathInMount::kBeneath) return mount->path + in_mount.path;
  }
  return Status(
      Code::kFailedPrecondition,
      "no mounted hierarchy that can freeze shows where we are (" + DescribeCgroups(text) + ")");
}

Result<Cgroup> Cgroup::Open(const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd dir, OpenDirectory(path));
  struct statfs info {};
  if (::fstatfs(dir.get(), &info) != 0) return ErrnoStatus(errno, "statfs", path);
  if (info.f_type != CGROUP2_SUPER_MAGIC && info.f_type != CGROUP_SUPER_MAGIC) {
    return Status(Code::kFailedPrecondition, path + " is not a cgroup directory");
  }
  const bool is_v1 = info.f_type == CGROUP_SUPER_MAGIC;
  return Cgroup(is_v1 ? CgroupVersion::kV1 : CgroupVersion::kV2, path, std::move(dir));
}

Result<Cgroup> Cgroup::OfProcess(pid_t pid) {
  const std::string name = std::to_string(pid);
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile("/proc/" + name + "/cgroup"));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<CgroupMount> mounts, ReadCgroupMounts());
  for (const std::string_view hierarchy : {"freezer", ""}) {
    const std::optional<std::string> path = CgroupPathOf(text, hierarchy);
    if (!path) continue;
    for (const CgroupMount& mount : mounts) {
      if (!HasController(mount.controllers, hierarchy)) continue;
      std::optional<Cgroup> cgroup = OpenInMount(mount, *path, pid);
      if (cgroup && cgroup->CanFreeze()) return std::move(*cgroup);
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
