#include "restore/stage_archive.h"

#include <algorithm>
#include <cstdio>
#include <future>
#include <utility>

#include "agent/archive/unpack/unpack.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/mount.h"
#include "agent/os/proc.h"
#include "restore/runtime/protocol/consumed_record.h"

namespace cryopod::restore {
namespace {

// What the node keeps for everything else.
constexpr uint64_t kMemoryReserveBytes = uint64_t{256} << 20;
constexpr uint64_t kDiskReserveBytes = uint64_t{64} << 20;
// Small images, directories, and what CRIU writes beside them.
constexpr uint64_t kRoomBytes = uint64_t{32} << 20;
constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kStagingBytesMax = uint64_t{1} << 42;

Status RemoveArea(const std::string& path) {
  CRYOPOD_RETURN_IF_ERROR(UnmountAll(path));
  return RemoveTree(path);
}

}  // namespace

Result<StagingArea> StagingArea::Create(const std::string& memory_path,
                                        const std::string& disk_path, uint64_t needed_bytes) {
  CRYOPOD_RETURN_IF_ERROR(RemoveLeftovers(memory_path, disk_path));
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t available, AvailableMemoryBytes());
  if (available / 2 >= needed_bytes + kMemoryReserveBytes / 2) {
    CRYOPOD_RETURN_IF_ERROR(MakeDirectories(memory_path));
    CRYOPOD_RETURN_IF_ERROR(MountTmpfs(memory_path, needed_bytes));
    return StagingArea(memory_path, true);
  }
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(disk_path));
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t free, FreeBytes(disk_path));
  if (free < needed_bytes + kDiskReserveBytes) {
    static_cast<void>(RemoveTree(disk_path).ok());
    return Status(Code::kResourceExhausted,
                  "staging needs " + std::to_string(needed_bytes) + " bytes: of memory " +
                      std::to_string(available) + " are available (twice as much is needed), of " +
                      disk_path + " " + std::to_string(free),
                  Reason::kNoSpace);
  }
  return StagingArea(disk_path, false);
}

Status StagingArea::RemoveLeftovers(const std::string& memory_path, const std::string& disk_path) {
  CRYOPOD_RETURN_IF_ERROR(RemoveArea(memory_path));
  return RemoveArea(disk_path);
}

StagingArea::StagingArea(StagingArea&& other) noexcept
    : path_(std::exchange(other.path_, "")),
      in_memory_(other.in_memory_),
      removals_(std::move(other.removals_)) {}

StagingArea::~StagingArea() {
  removals_.clear();  // waits
  if (!path_.empty()) static_cast<void>(RemoveArea(path_).ok());
}

void StagingArea::RemoveContainer(const std::string& container) {
  const std::string removed = path_ + "/.removed-" + std::to_string(removals_.size());
  if (::rename(images_dir(container).c_str(), removed.c_str()) != 0) return;
  removals_.push_back(
      std::async(std::launch::async, [removed] { static_cast<void>(RemoveTree(removed).ok()); }));
}

Result<uint64_t> StagingBytes(const archive::PodCheckpoint& checkpoint) {
  uint64_t sum = kRoomBytes;
  for (const archive::ContainerCheckpoint& container : checkpoint.containers) {
    if (container.images_bytes > kStagingBytesMax || sum > kStagingBytesMax) {
      return Status(Code::kDataLoss, "the archive claims CRIU images of an impossible size");
    }
    // A file takes whole pages: a process has some eight of them, a thread one of its own.
    sum += container.images_bytes + container.images_bytes / 64 +
           (uint64_t{8} * container.processes + container.tasks) * kPageBytes;
  }
  return sum;
}

Result<archive::UnpackLimits> StagingLimits(const archive::PodCheckpoint& checkpoint) {
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t bytes_max, StagingBytes(checkpoint));
  return archive::UnpackLimits{.bytes_max = bytes_max, .entries_max = archive::kPlainFilesMax};
}

Result<archive::ContainerParts> FindParts(const archive::Archive& archive,
                                          const std::string& container) {
  std::string names;
  for (const archive::ContainerParts& parts : archive.containers()) {
    if (parts.name == container) return parts;
    names += (names.empty() ? "" : ", ") + parts.name;
  }
  return Status(Code::kNotFound, "archive " + archive.name() + " has no container " + container +
                                     ", it has " + names);
}

Status StageContainer(const jobs::RestoreJob& job, const archive::Archive& archive,
                      const std::string& container, const StagingArea& area, Deadline deadline) {
  const std::string doing = "staging container " + container;
  CRYOPOD_RETURN_IF_ERROR(wrapper::CheckComponent(container, "the container name"));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::ContainerParts parts, FindParts(archive, container));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blob, archive.OpenBlob(parts.criu_images).While(doing));
  const std::string path = area.images_dir(container);
  CRYOPOD_RETURN_IF_ERROR(RemoveTree(path).While(doing));
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(path).While(doing));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(path));
  CRYOPOD_ASSIGN_OR_RETURN(const archive::UnpackLimits limits, StagingLimits(archive.checkpoint()));
  // Hashed while it is unpacked, by a process that can harm nobody; nobody sees a byte of it before
  // the digest is known to be right. A wrong one is what is told, whatever the unpacker made of it.
  std::future<Status> verified = std::async(
      std::launch::async, [&] { return archive.VerifyBlob(blob.get(), parts.criu_images); });
  const Status unpacked =
      archive::UnpackImages(job.unpack_program, blob.get(), dir.get(), limits, deadline);
  Status staged = verified.get();
  if (staged.ok()) staged = unpacked;
  if (!staged.ok()) static_cast<void>(RemoveTree(path).ok());
  return staged.While(doing);
}

}  // namespace cryopod::restore
