#include "restore/stage_archive.h"

#include <algorithm>
#include <future>

#include "agent/archive/unpack/unpack.h"
#include "agent/os/directory.h"
#include "restore/runtime/protocol/consumed_record.h"

namespace cryopod::restore {
namespace {

// Small images, directories, and what CRIU writes beside them.
constexpr uint64_t kRoomBytes = uint64_t{32} << 20;
constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kStagingBytesMax = uint64_t{1} << 42;

}  // namespace

Result<UniqueFd> LeaseArchiveOf(const jobs::RestoreJob& job) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(job.store_root));
  return store.Lease(job.archive);
}

Result<archive::Archive> OpenArchiveOf(const jobs::RestoreJob& job) {
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ArchiveStore store,
                           archive::ArchiveStore::Open(job.store_root));
  Result<archive::Archive> archive = store.OpenArchive({job.archive, job.digest});
  if (archive.ok() && archive->containers().empty()) {
    return Status(Code::kDataLoss, "archive " + job.archive + " holds no container");
  }
  return archive;
}

const archive::ContainerCheckpoint& RecordOf(const archive::PodCheckpoint& checkpoint,
                                             const std::string& container) {
  static const archive::ContainerCheckpoint kNone;
  const auto found =
      std::ranges::find(checkpoint.containers, container, &archive::ContainerCheckpoint::name);
  return found == checkpoint.containers.end() ? kNone : *found;
}

Result<archive::UnpackLimits> StagingLimits(const archive::PodCheckpoint& checkpoint) {
  uint64_t sum = kRoomBytes;
  for (const archive::ContainerCheckpoint& container : checkpoint.containers) {
    if (container.images_bytes > kStagingBytesMax || sum > kStagingBytesMax) {
      return Status(Code::kDataLoss, "the archive claims CRIU images of an impossible size");
    }
    // A file takes whole pages: a process has some eight of them, a thread one of its own.
    sum += container.images_bytes + container.images_bytes / 64 +
           (uint64_t{8} * container.processes + container.tasks) * kPageBytes;
  }
  return archive::UnpackLimits{.bytes_max = sum, .entries_max = archive::kPlainFilesMax};
}

Status StageContainer(const jobs::RestoreJob& job, const archive::Archive& archive,
                      const std::string& container, const StagingArea& area, Deadline deadline) {
  const std::string doing = "staging container " + container;
  CRYOPOD_RETURN_IF_ERROR(wrapper::CheckComponent(container, "the container name"));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ContainerParts* const parts,
                           archive.FindContainer(container));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blob, archive.OpenBlob(parts->criu_images).While(doing));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, area.MakeDirectory(container).While(doing));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::UnpackLimits limits, StagingLimits(archive.checkpoint()));
  // Hashed while it is unpacked, by a process that can harm nobody; nobody sees a byte of it before
  // the digest is known to be right. A wrong one is what is told, whatever the unpacker made of it.
  std::future<Status> verified = std::async(
      std::launch::async, [&] { return archive.VerifyBlob(blob.get(), parts->criu_images); });
  const Status unpacked =
      archive::UnpackImages(job.unpack_program, blob.get(), dir.get(), limits, deadline);
  Status staged = verified.get();
  if (staged.ok()) staged = unpacked;
  if (!staged.ok()) static_cast<void>(RemoveTree(area.PathOf(container)).ok());
  return staged.While(doing);
}

}  // namespace cryopod::restore
