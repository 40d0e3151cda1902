#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agent/criu/container_state.h"
#include "agent/os/mount_info.h"

namespace cryopod::criu {

// The mounts that a container may have because its runtime made them, each to be accounted for
// once: a second mount over the same mount point is somebody else's, and CRIU would take it for the
// first.
//
// Source  runc 1.3, libcontainer/rootfs_linux.go (mounts, masked and read-only paths),
//         init_linux.go (console), criu_linux.go (what it declares external).
class MountLedger {
 public:
  explicit MountLedger(const ContainerState& state);

  // Sorts out every entry of the container's mountinfo.
  void Account(const std::vector<MountEntry>& mounts);

  // Mount point → key of each mount that CRIU is to take as external.
  const std::vector<std::pair<std::string, std::string>>& externals() const { return externals_; }
  // Mount points in which CRIU looks for what is watched: small ones alone, for the pod stands
  // still meanwhile.
  const std::vector<std::string>& watched_paths() const { return watched_paths_; }
  // A sentence for each mount that nobody declared; empty when the container can be dumped.
  const std::vector<std::string>& strangers() const { return strangers_; }
  // The mounts that these sentences are about, in the same order.
  const std::vector<MountEntry>& strange_mounts() const { return strange_mounts_; }

 private:
  enum class Kind {
    kRoot,
    kExternal,  // a bind mount or device: the new pod brings its own
    kContent,   // a file system that CRIU makes anew or carries with its content
    kCgroups,   // the file system or directory that holds the hierarchies
    kMasked,    // /dev/null over a file, an empty read-only tmpfs over a directory
    kReadOnly,  // a path bound over itself
    kConsole,   // the terminal of a container, bound out of its devpts
  };
  struct Declared {
    Kind kind;
    std::string mount_point;
    std::string type;  // kContent: of the file system
    bool used = false;
  };

  void Declare(Kind kind, const std::string& mount_point, const std::string& type = {});
  void DeclareMount(const std::string& mount_point, const OciMount& mount);
  static bool Fits(const Declared& declared, const MountEntry& entry,
                   const std::vector<MountEntry>& mounts);
  bool Claim(const MountEntry& entry, const std::vector<MountEntry>& mounts);
  bool IsCgroupHierarchy(const MountEntry& entry, const std::vector<MountEntry>& mounts) const;
  void AddExternal(const std::string& mount_point, const std::string& key);
  std::string Describe(const MountEntry& entry) const;

  bool own_cgroup_namespace_ = false;
  std::vector<Declared> declared_;
  std::vector<std::pair<std::string, std::string>> externals_;
  std::vector<std::string> watched_paths_;
  std::vector<std::string> strangers_;
  std::vector<MountEntry> strange_mounts_;
};

}  // namespace cryopod::criu
