#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/os/mount_info.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::restore {

// A file, whatever mount shows it.
struct FileId {
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  uint64_t inode = 0;
  bool operator==(const FileId&) const = default;
};

struct FileFacts {
  FileId id;
  mode_t mode = 0;
  uint32_t device_major = 0;  // of a device file
  uint32_t device_minor = 0;
  int mount_id = 0;
  bool is_mount_root = false;
};
// Symlinks are followed. Errors: kNotFound.
Result<FileFacts> LookAt(const std::string& path);

// Where a path leads in a mount namespace.
struct ViewedPlace : FileFacts {
  UniqueFd fd;                        // O_PATH
  const MountEntry* mount = nullptr;  // what it lies on, never nullptr

  bool is_directory() const { return S_ISDIR(mode); }
  bool is_dev_null() const { return S_ISCHR(mode) && device_major == 1 && device_minor == 3; }
};

// What the mount namespace of the calling process shows, from its root. Paths are followed as the
// processes there do, never through a link of proc that leaves it.
//
// Source   openat2(2), statx(2) (STATX_MNT_ID and STATX_ATTR_MOUNT_ROOT: Linux 5.8).
// Threads  any; places point into the view.
class MountView {
 public:
  // `proc_fd` is a proc file system that shows the caller: that of the namespace does not.
  static Result<MountView> OfCaller(int proc_fd);

  const std::vector<MountEntry>& mounts() const { return mounts_; }
  // The text that mounts() came from.
  const std::string& mountinfo() const { return mountinfo_; }
  const MountEntry* ParentOf(const MountEntry& mount) const;
  // nullopt: nothing is there.
  Result<std::optional<ViewedPlace>> Find(const std::string& path) const;

 private:
  MountView(UniqueFd root, std::string mountinfo, std::vector<MountEntry> mounts)
      : root_(std::move(root)), mountinfo_(std::move(mountinfo)), mounts_(std::move(mounts)) {}
  const MountEntry* FindMount(int mount_id) const;

  UniqueFd root_;
  std::string mountinfo_;
  std::vector<MountEntry> mounts_;
};

}  // namespace cryopod::restore
