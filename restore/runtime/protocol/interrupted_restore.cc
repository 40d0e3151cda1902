#include "restore/runtime/protocol/interrupted_restore.h"

#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "agent/os/file.h"
#include "agent/os/mount.h"
#include "agent/os/mount_info.h"

namespace cryopod::wrapper {
namespace {

Status DetachBeneath(const std::string& rootfs) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts, ReadMountInfo(::getpid()));
  // Later mounts may lie on earlier ones: the last goes first.
  for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
    if (!mount->mount_point.starts_with(rootfs + "/")) continue;
    if (::umount2(mount->mount_point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 &&
        errno != EINVAL && errno != ENOENT) {
      return ErrnoStatus(errno, "umount", mount->mount_point);
    }
  }
  return Status();
}

}  // namespace

Status DetachRestoreMounts(const std::string& state_dir, const std::string& rootfs) {
  const std::string criu_root = state_dir + "/criu-root";
  if (PathExists(criu_root)) CRYOPOD_RETURN_IF_ERROR(UnmountAll(criu_root));
  return rootfs.starts_with('/') && rootfs != "/" ? DetachBeneath(rootfs) : Status();
}

}  // namespace cryopod::wrapper
