#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/status.h"

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
PathInMount CgroupPathInMount(const std::filesystem::path& cgroup_path,
                              const std::filesystem::path& mount_root);

// The path in the text of /proc/<pid>/cgroup for one controller, "" being the unified hierarchy.
std::optional<std::string> CgroupPathOf(std::string_view proc_cgroup, std::string_view controller);

// Is one of "cpu,cpuacct"?
bool HasController(std::string_view controllers, std::string_view wanted);

// Where a hierarchy is mounted on this node.
struct CgroupMount {
  std::string controllers;  // with options between them: "rw,xattr,name=systemd"; "" for v2
  std::string path;
  std::string root;  // mountinfo's fourth field: what the mount shows of the hierarchy
};
std::vector<CgroupMount> ParseCgroupMounts(std::string_view mountinfo);
Result<std::vector<CgroupMount>> ReadCgroupMounts();

// Where containers are frozen, as Cgroup::OfProcess chooses: v1 where its freezer is mounted, else
// v2; null when neither is.
const CgroupMount* FreezingMount(const std::vector<CgroupMount>& mounts);

// The directory of our own cgroup in that hierarchy, also at its top. Errors: kFailedPrecondition
// (there is none, or its mount does not show where we are).
Result<std::string> OwnCgroupDirectory();

// The lines that matter for freezing, in one line: "freezer:/a, unified:/b".
std::string DescribeCgroups(std::string_view proc_cgroup);

}  // namespace cryopod
