#include "restore/container_cgroup.h"

#include <algorithm>
#include <vector>

#include "agent/os/cgroup_paths.h"
#include "agent/os/text.h"

namespace cryopod::restore {
namespace {

Status BadPath(std::string_view cgroups_path) {
  return Status(Code::kInvalidArgument,
                "cgroupsPath " + std::string(cgroups_path) + " names no cgroup of a container");
}

// "a-b-c.slice" lies in "a-b.slice", which lies in "a.slice".
std::string ExpandSlice(std::string_view slice) {
  constexpr std::string_view kSuffix = ".slice";
  if (slice == "-.slice" || slice.empty()) return "";
  const std::string_view stem = slice.substr(0, slice.size() - kSuffix.size());
  std::string path;
  for (size_t end = stem.find('-');; end = stem.find('-', end + 1)) {
    path += "/" + std::string(stem.substr(0, end)) + std::string(kSuffix);
    if (end == std::string_view::npos) return path;
  }
}

}  // namespace

Result<std::string> CgroupPathOf(std::string_view cgroups_path) {
  const std::vector<std::string_view> parts = Split(cgroups_path, ':');
  std::string path(cgroups_path);
  if (parts.size() == 3 && parts[0].ends_with(".slice")) {
    const std::string prefix = parts[1].empty() ? "" : std::string(parts[1]) + "-";
    path = ExpandSlice(parts[0]) + "/" + prefix + std::string(parts[2]) + ".scope";
  }
  if (!path.starts_with('/')) return BadPath(cgroups_path);
  const std::vector<std::string_view> names = Split(path, '/');
  const auto is_here = [](std::string_view name) { return name.empty() || name == "."; };
  if (std::ranges::count(names, "..") > 0 || std::ranges::all_of(names, is_here)) {
    return BadPath(cgroups_path);
  }
  return path;
}

Result<std::string> CgroupDirectoryOf(const std::string& cgroups_path) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string path, CgroupPathOf(cgroups_path));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<CgroupMount> mounts, ReadCgroupMounts());
  const CgroupMount* mount = FreezingMount(mounts);
  if (mount != nullptr) return mount->path + path;
  return Status(Code::kFailedPrecondition, "no cgroup hierarchy is mounted that can freeze");
}

}  // namespace cryopod::restore
