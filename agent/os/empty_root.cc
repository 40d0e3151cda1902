#include "agent/os/empty_root.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>

#include "agent/os/file.h"

namespace cryopod {
namespace {

constexpr unsigned kHarmless = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

}  // namespace

Status EnterEmptyRoot() {
  const UniqueFd context(::fsopen("tmpfs", FSOPEN_CLOEXEC));
  if (!context.valid()) return ErrnoStatus(errno, "fsopen", "tmpfs");
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return ErrnoStatus(errno, "fsconfig", "tmpfs");
  }
  const UniqueFd root(::fsmount(context.get(), FSMOUNT_CLOEXEC, kHarmless | MOUNT_ATTR_RDONLY));
  if (!root.valid()) return ErrnoStatus(errno, "fsmount", "tmpfs");
  if (::fchdir(root.get()) != 0) return ErrnoStatus(errno, "fchdir", "an empty root");
  if (::chroot(".") != 0) return ErrnoStatus(errno, "chroot", "an empty root");
  return Status();
}

Result<UniqueFd> DetachDirectory(int dir_fd) {
  const UniqueFd tree(::open_tree(dir_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree.valid()) return ErrnoStatus(errno, "open_tree", "a directory");
  mount_attr attributes{};
  attributes.attr_set = kHarmless | MOUNT_ATTR_NOSYMFOLLOW;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
    return ErrnoStatus(errno, "mount_setattr", "a directory");
  }
  // What open_tree gives cannot be listed.
  return OpenAt(tree.get(), ".", O_RDONLY | O_DIRECTORY);
}

}  // namespace cryopod
