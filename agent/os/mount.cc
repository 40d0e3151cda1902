#include "agent/os/mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "agent/os/directory.h"
#include "agent/os/file.h"

namespace cryopod {
namespace {

// More mounts than anybody stacks on one directory; an end for the loop.
constexpr int kStackedMountsMax = 4096;
constexpr uint64_t kTmpfsEntriesMin = 4096;
constexpr unsigned kLockedAttributes =
    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

int MountTmpfsWith(const std::string& path, const std::string& options) {
  return ::mount("tmpfs", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options.c_str());
}

}  // namespace

Status MountTmpfs(const std::string& path, uint64_t size_bytes) {
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(path, 0700));
  // The kernel's own limit comes from the memory of the machine, and many small files reach it
  // first.
  const uint64_t entries = std::max(kTmpfsEntriesMin, size_bytes / (kTmpfsEntryBytes / 2));
  const std::string options =
      "mode=0700,size=" + std::to_string(size_bytes) + ",nr_inodes=" + std::to_string(entries);
  // A long write takes large pieces of memory then, and a small file no more than it needs. Source:
  // Linux Documentation/admin-guide/mm/transhuge.rst; kernels before 6.14 do not do it for files
  // that grow, and those without huge pages refuse the option.
  if (MountTmpfsWith(path, options + ",huge=within_size") != 0 &&
      MountTmpfsWith(path, options) != 0) {
    return ErrnoStatus(errno, "mount tmpfs at", path);
  }
  // Below a shared parent a mount would spread to every namespace that listens.
  if (::mount(nullptr, path.c_str(), nullptr, MS_PRIVATE, nullptr) != 0) {
    Status status = ErrnoStatus(errno, "make private the mount at", path);
    ::umount2(path.c_str(), MNT_DETACH);
    return status;
  }
  return Status();
}

Status UnmountAll(const std::string& path) {
  for (int i = 0; i < kStackedMountsMax; ++i) {
    if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
    if (errno == EINVAL || errno == ENOENT) return Status();  // not a mount point, or nothing there
    return ErrnoStatus(errno, "umount", path);
  }
  return Status(Code::kResourceExhausted, "umount " + path + ": too many mounts on one directory");
}

bool IsMountPoint(const std::string& path) {
  struct statx info {};
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &info) != 0) return false;
  return (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

Result<UniqueFd> MakeEmptyRoot() {
  const UniqueFd context(::fsopen("tmpfs", FSOPEN_CLOEXEC));
  if (!context.valid()) return ErrnoStatus(errno, "fsopen", "tmpfs");
  for (const auto& [key, value] : {std::pair("size", "4k"), {"nr_inodes", "1"}, {"mode", "0"}}) {
    if (::fsconfig(context.get(), FSCONFIG_SET_STRING, key, value, 0) != 0) {
      return ErrnoStatus(errno, "fsconfig", std::string("tmpfs ") + key);
    }
  }
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return ErrnoStatus(errno, "fsconfig", "tmpfs");
  }
  UniqueFd root(::fsmount(context.get(), FSMOUNT_CLOEXEC, kLockedAttributes));
  if (!root.valid()) return ErrnoStatus(errno, "fsmount", "tmpfs");
  return root;
}

Result<UniqueFd> OpenOnMountOfItsOwn(const std::string& path) {
  const UniqueFd tree(::open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree.valid()) return ErrnoStatus(errno, "open_tree", path);
  mount_attr attributes{};
  attributes.attr_set = kLockedAttributes;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
    return ErrnoStatus(errno, "mount_setattr", path);
  }
  return OpenAt(AT_FDCWD, "/proc/self/fd/" + std::to_string(tree.get()), O_RDONLY).While(path);
}

}  // namespace cryopod
