#include "restore/external_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <string>

#include "agent/os/file.h"
#include "agent/os/text.h"
#include "agent/os/unique_fd.h"

namespace cryopod::restore {
namespace {

using archive::ExternalFile;

constexpr size_t kFilesNamed = 5;

std::string PathOf(const ExternalFile& file) {
  return file.mount_point + (file.path.empty() ? "" : "/" + file.path);
}

// The last one covers those before it.
const LiveMount* MountAt(const LiveMounts& live, const std::string& mount_point) {
  const auto found =
      std::find_if(live.mounts.rbegin(), live.mounts.rend(), [&](const LiveMount& mount) {
        return mount.type == "bind" && MountPointOf(live, mount) == mount_point;
      });
  return found == live.mounts.rend() ? nullptr : &*found;
}

Result<UniqueFd> OpenIn(const LiveMount& mount, const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd volume, OpenAt(AT_FDCWD, mount.source, O_PATH));
  if (path.empty()) return volume;
  return OpenBeneath(volume.get(), path, O_PATH | O_NOFOLLOW, 0, /*cross_mounts=*/true);
}

Status Absent(const std::string& how) {
  return Status(Code::kFailedPrecondition, how, Reason::kFileAbsent);
}

Status Changed(const std::string& how) {
  return Status(Code::kFailedPrecondition, how, Reason::kFileChanged);
}

// Success where it may be the file that was open.
Status CheckFile(const ExternalFile& file, const LiveMount* mount) {
  if (mount == nullptr) return Absent("the new pod mounts no volume at " + file.mount_point);
  const std::string where = " on " + mount->source;
  const Result<UniqueFd> there = OpenIn(*mount, file.path);
  if (!there.ok()) return Absent("it is not there" + where);
  struct stat status {};
  if (::fstat(there->get(), &status) != 0) return Absent("it cannot be looked at" + where);
  if (file.regular != S_ISREG(status.st_mode)) return Changed("it is of another kind" + where);
  if (!file.regular || static_cast<uint64_t>(status.st_size) == file.size_bytes) return Status();
  return Changed("it has another size" + where + ", " + std::to_string(status.st_size) +
                 " bytes instead of " + std::to_string(file.size_bytes));
}

}  // namespace

Status CheckExternalFiles(const archive::ContainerCheckpoint& container, const LiveMounts& live) {
  std::vector<std::string> changed;
  Reason reason = Reason::kNone;  // of the first
  for (const ExternalFile& file : container.external_files) {
    if (!file.exact) continue;
    const Status same = CheckFile(file, MountAt(live, file.mount_point));
    if (same.ok()) continue;
    if (changed.empty()) reason = same.reason();
    changed.push_back(PathOf(file) + ": " + same.message());
  }
  if (changed.empty()) return Status();
  return Status(Code::kFailedPrecondition,
                "processes of the archive have files open on a volume that is not in it, and the "
                "new pod does not show them as they were: " +
                    JoinFirst(changed, kFilesNamed, "; ", "; and ") +
                    ". Bring the volume's content to this node first",
                reason);
}

}  // namespace cryopod::restore
