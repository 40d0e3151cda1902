#include "agent/os/cgroup_paths.h"

#include <algorithm>
#include <array>

#include "agent/os/mount_info.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

// "/../../a/b" is two levels up, then down a and b.
struct RelativePath {
  size_t levels_up = 0;
  std::vector<std::string_view> names;
};

RelativePath ParsePath(std::string_view text) {
  RelativePath path;
  for (const std::string_view part : Split(text, '/')) {
    if (part.empty()) continue;
    if (part == ".." && path.names.empty()) {
      ++path.levels_up;
    } else {
      path.names.push_back(part);
    }
  }
  return path;
}

// Words of a v1 mount's options that name no controller. Source: kernel/cgroup/cgroup-v1.c,
// cgroup1_fs_parameters.
bool IsPlainOption(std::string_view option) {
  constexpr std::array<std::string_view, 11> kPlain = {
      "rw",   "ro",  "xattr",        "clone_children", "noprefix", "cpuset_v2_mode",
      "none", "all", "favordynmods", "nofavordynmods", "seclabel"};
  return option.substr(0, 14) == "release_agent=" ||
         std::find(kPlain.begin(), kPlain.end(), option) != kPlain.end();
}

std::string ControllersOf(std::string_view super_options) {
  std::string controllers;
  for (const std::string_view option : Split(super_options, ',')) {
    if (IsPlainOption(option)) continue;
    if (!controllers.empty()) controllers += ',';
    controllers += option;
  }
  return controllers;
}

}  // namespace

PathInMount CgroupPathInMount(std::string_view cgroup_path, std::string_view mount_root) {
  const RelativePath path = ParsePath(cgroup_path);
  const RelativePath root = ParsePath(mount_root);
  if (root.levels_up > path.levels_up) return {PathInMount::kUnknown, ""};
  if (root.levels_up < path.levels_up || root.names.size() > path.names.size() ||
      !std::equal(root.names.begin(), root.names.end(), path.names.begin())) {
    return {PathInMount::kOutside, ""};
  }
  std::string below;
  for (size_t i = root.names.size(); i < path.names.size(); ++i) {
    below += '/';
    below += path.names[i];
  }
  return {PathInMount::kBeneath, below};
}

std::optional<std::string> CgroupPathOf(std::string_view proc_cgroup, std::string_view controller) {
  for (const std::string_view line : SplitLines(proc_cgroup)) {
    // "6:freezer:/a:b": the path may hold colons.
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view names = line.substr(first + 1, second - first - 1);
    const std::vector<std::string_view> controllers = Split(names, ',');
    if (std::find(controllers.begin(), controllers.end(), controller) == controllers.end())
      continue;
    return std::string(line.substr(second + 1));
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
    if (entry.file_system_type == "cgroup2") {
      mounts.push_back({"", entry.mount_point, entry.root});
    } else if (entry.file_system_type == "cgroup") {
      mounts.push_back({ControllersOf(entry.super_options), entry.mount_point, entry.root});
    }
  }
  return mounts;
}

}  // namespace cryopod
