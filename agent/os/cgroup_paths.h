#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cryopod {

// Where a cgroup lies as seen through a mount of its hierarchy.
struct PathInMount {
  enum Relation {
    kOutside,  // the mount does not show it
    kBeneath,  // at `path` below the mount point
    kUnknown,  // the mount starts above the reader's cgroup namespace: the names of the way down
               // to its root are not known
  };
  Relation relation = kOutside;
  std::string path;  // "" or "/a/b"
};

// `cgroup_path` is what /proc/<pid>/cgroup says, `mount_root` mountinfo's fourth field. Both are
// relative to the reader's cgroup namespace and start with "/.." for each level above its root.
// Source: cgroup_namespaces(7).
PathInMount CgroupPathInMount(std::string_view cgroup_path, std::string_view mount_root);

// The path in the text of /proc/<pid>/cgroup for one controller, "" being the unified hierarchy.
std::optional<std::string> CgroupPathOf(std::string_view proc_cgroup, std::string_view controller);

// Directories where a hierarchy is mounted on this node: {"freezer" → "/sys/fs/cgroup/freezer",
// "" → the unified one}. Pure over the text of /proc/self/mountinfo.
struct CgroupMount {
  std::string controllers;  // "freezer", "cpu,cpuacct", "name=systemd"; "" for v2
  std::string path;
  std::string root;  // mountinfo's fourth field: what the mount shows of the hierarchy
};
std::vector<CgroupMount> ParseCgroupMounts(std::string_view mountinfo);

// The lines that matter for freezing, in one line: "freezer:/a, unified:/b".
std::string DescribeCgroups(std::string_view proc_cgroup);

}  // namespace cryopod
