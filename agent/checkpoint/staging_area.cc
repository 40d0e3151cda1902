#include "agent/checkpoint/staging_area.h"

#include <fcntl.h>

#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/mount.h"
#include "agent/os/proc.h"

namespace cryopod::checkpoint {
namespace {

// The pod runs on between the prediction and the cut, and CRIU's own images come on top.
constexpr uint64_t kMarginBytes = uint64_t{64} << 20;

uint64_t WithMargin(uint64_t needed_bytes) {
  return needed_bytes + needed_bytes / 4 + kMarginBytes;
}

}  // namespace

Result<StagingArea> StagingArea::Create(const std::string& memory_path,
                                        const std::string& disk_path, uint64_t needed_bytes) {
  const uint64_t size_bytes = WithMargin(needed_bytes);
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t available_bytes, AvailableMemoryBytes());
  const bool in_memory = size_bytes <= available_bytes / 2;
  const std::string& path = in_memory ? memory_path : disk_path;
  if (in_memory) {
    CRYOPOD_RETURN_IF_ERROR(MountTmpfs(path, size_bytes));
  } else {
    CRYOPOD_RETURN_IF_ERROR(MakeDirectories(path, 0700));
    CRYOPOD_ASSIGN_OR_RETURN(const uint64_t free_bytes, FreeBytes(path));
    if (free_bytes < size_bytes) {
      (void)RemoveTree(path);
      return Status(Code::kResourceExhausted,
                    "neither memory nor " + path + " has the " + std::to_string(size_bytes >> 20) +
                        " MiB that the dump may need",
                    Reason::kNoSpace);
    }
  }
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd dir, OpenDirectory(path));
  return StagingArea(path, in_memory, std::move(dir));
}

StagingArea::StagingArea(StagingArea&& other) noexcept
    : path_(std::move(other.path_)), in_memory_(other.in_memory_), dir_(std::move(other.dir_)) {
  other.path_.clear();
}

StagingArea::~StagingArea() { Remove(); }

Result<UniqueFd> StagingArea::MakeDirectory(const std::string& name) {
  CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(dir_.get(), name));
  CRYOPOD_RETURN_IF_ERROR(MakeDirectoryAt(dir_.get(), name, 0700));
  return OpenAt(dir_.get(), name, O_RDONLY | O_DIRECTORY);
}

void StagingArea::Remove() {
  if (path_.empty()) return;
  dir_.Reset();
  // What cannot be removed now is removed by the repair at the agent's next start.
  if (in_memory_) (void)UnmountAll(path_);
  (void)RemoveTree(path_);
  path_.clear();
}

}  // namespace cryopod::checkpoint
