#include "restore/mounts/mount_view.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "agent/os/file.h"

namespace cryopod::restore {
namespace {

Result<FileFacts> Look(int dir_fd, const std::string& path) {
  struct statx facts {};
  const unsigned flags = path.empty() ? AT_EMPTY_PATH : 0;
  if (::statx(dir_fd, path.c_str(), static_cast<int>(flags), STATX_BASIC_STATS | STATX_MNT_ID,
              &facts) != 0) {
    return ErrnoStatus(errno, "statx", path);
  }
  if ((facts.stx_mask & STATX_MNT_ID) == 0 ||
      (facts.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) == 0) {
    return Status(Code::kUnimplemented, "this kernel does not say what mount a file lies on");
  }
  return FileFacts{.id = {facts.stx_dev_major, facts.stx_dev_minor, facts.stx_ino},
                   .mode = facts.stx_mode,
                   .device_major = facts.stx_rdev_major,
                   .device_minor = facts.stx_rdev_minor,
                   .mount_id = static_cast<int>(facts.stx_mnt_id),
                   .is_mount_root = (facts.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0};
}

// ENOENT, ENOTDIR, ELOOP: the processes there find nothing either.
bool IsNothing(const Status& status) {
  return status.code() == Code::kNotFound || status.code() == Code::kFailedPrecondition;
}

}  // namespace

Result<FileFacts> LookAt(const std::string& path) { return Look(AT_FDCWD, path); }

Result<MountView> MountView::OfCaller(int proc_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd root, OpenAt(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  CRYOPOD_ASSIGN_OR_RETURN(std::string text, ReadFileAt(proc_fd, "self/mountinfo"));
  CRYOPOD_ASSIGN_OR_RETURN(std::vector<MountEntry> mounts, ParseMountInfo(text));
  return MountView(std::move(root), std::move(text), std::move(mounts));
}

const MountEntry* MountView::FindMount(int mount_id) const {
  const auto found = std::ranges::find(mounts_, mount_id, &MountEntry::mount_id);
  return found == mounts_.end() ? nullptr : &*found;
}

const MountEntry* MountView::ParentOf(const MountEntry& mount) const {
  return mount.parent_id == mount.mount_id ? nullptr : FindMount(mount.parent_id);
}

Result<std::optional<ViewedPlace>> MountView::Find(const std::string& path) const {
  Result<UniqueFd> opened = OpenInRoot(root_.get(), path, O_PATH);
  if (!opened.ok() && IsNothing(opened.status())) return std::optional<ViewedPlace>();
  if (!opened.ok()) return opened.status();
  CRYOPOD_ASSIGN_OR_RETURN(const FileFacts facts, Look(opened->get(), "").While(path));
  const MountEntry* const mount = FindMount(facts.mount_id);
  if (mount == nullptr) {
    return Status(Code::kDataLoss, "mountinfo does not name the mount that holds " + path);
  }
  return std::optional<ViewedPlace>(ViewedPlace{facts, std::move(*opened), mount});
}

}  // namespace cryopod::restore
