#include "restore/apply_rootfs.h"

#include "agent/archive/unpack/unpack.h"
#include "agent/os/file.h"
#include "agent/os/mount.h"
#include "restore/rootfs/rootfs_writer.h"
#include "restore/stage_archive.h"

namespace cryopod::restore {
namespace {

// A writable layer larger than it claims is damaged; the claim does not count names and padding.
constexpr uint64_t kLayerRoomBytes = uint64_t{64} << 20;

}  // namespace

Status ApplyRootfs(const jobs::RestoreJob& job, const archive::Archive& archive,
                   const std::string& container, const std::string& rootfs, Deadline deadline) {
  const std::string doing = "container " + container;
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ContainerParts* const parts,
                           archive.FindContainer(container));
  if (parts->rootfs_diff.digest.empty()) return Status();
  // Without a mount there, the layer would be written into the node's own directories.
  if (!IsMountPoint(rootfs)) {
    return Status(Code::kFailedPrecondition,
                  doing + ": no root file system is mounted at " + rootfs);
  }
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd root, OpenDirectory(rootfs));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blob,
                           archive.OpenVerifiedBlob(parts->rootfs_diff).While(doing));
  RootfsWriter writer(root.get());
  archive::UnpackLimits limits;
  limits.bytes_max = RecordOf(archive.checkpoint(), container).rootfs_bytes + kLayerRoomBytes;
  CRYOPOD_RETURN_IF_ERROR(
      archive::UnpackLayer(job.unpack_program, blob.get(), writer, limits, deadline).While(doing));
  return writer.Finish().While(doing);
}

}  // namespace cryopod::restore
