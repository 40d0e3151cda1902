#include "agent/os/staging_area.h"

#include <fcntl.h>

#include "agent/os/directory.h"
#include "agent/os/encrypted_directory.h"
#include "agent/os/file.h"
#include "agent/os/mount.h"
#include "agent/os/proc.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

// What the node keeps for everything else.
constexpr uint64_t kMemoryReserveBytes = uint64_t{256} << 20;
constexpr uint64_t kDiskReserveBytes = uint64_t{64} << 20;

Status RemoveArea(const std::string& path) {
  CRYOPOD_RETURN_IF_ERROR(UnmountAll(path));
  const Result<UniqueFd> directory = OpenDirectory(path);
  CRYOPOD_RETURN_IF_ERROR(RemoveTree(path));
  return directory.ok() ? ForgetKeyOf(directory->get()) : Status();
}

}  // namespace

Result<StagingArea> StagingArea::Create(const std::string& memory_path,
                                        const std::string& disk_path, uint64_t size_bytes) {
  CRYOPOD_RETURN_IF_ERROR(RemoveLeftovers(memory_path, disk_path));
  CRYOPOD_ASSIGN_OR_RETURN(const uint64_t available, AvailableMemoryBytes());
  const bool in_memory = available / 2 >= size_bytes + kMemoryReserveBytes / 2;
  const std::string& path = in_memory ? memory_path : disk_path;
  if (in_memory) {
    CRYOPOD_RETURN_IF_ERROR(MountTmpfs(path, size_bytes));
  } else {
    CRYOPOD_RETURN_IF_ERROR(MakeDirectories(path));
    CRYOPOD_ASSIGN_OR_RETURN(const uint64_t free, FreeBytes(path));
    if (free < size_bytes + kDiskReserveBytes) {
      (void)RemoveTree(path);
      return Status(Code::kResourceExhausted,
                    "staging needs " + WholeMib(size_bytes) + ": of memory " + WholeMib(available) +
                        " are available (twice as much is needed), of " + path + " " +
                        WholeMib(free),
                    Reason::kNoSpace);
    }
  }
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd dir, OpenDirectory(path));
  if (!in_memory) {
    Status encrypted = EncryptDirectory(dir.get());
    if (!encrypted.ok() && encrypted.code() != Code::kUnimplemented) return encrypted;
  }
  return StagingArea(path, in_memory, std::move(dir));
}

Status StagingArea::RemoveLeftovers(const std::string& memory_path, const std::string& disk_path) {
  CRYOPOD_RETURN_IF_ERROR(RemoveArea(memory_path));
  return RemoveArea(disk_path);
}

Status StagingArea::RemoveAllBut(const std::string& disk_parent,
                                 const std::set<std::string>& names) {
  const Result<std::vector<DirectoryEntry>> entries = ListDirectory(disk_parent);
  if (entries.status().code() == Code::kNotFound) return Status();
  CRYOPOD_RETURN_IF_ERROR(entries.status());
  Status first;
  for (const DirectoryEntry& entry : *entries) {
    if (names.contains(entry.name)) continue;
    Status removed = RemoveArea(disk_parent + "/" + entry.name);
    if (first.ok()) first = std::move(removed);
  }
  return first;
}

StagingArea::~StagingArea() {
  removals_.clear();          // waits
  if (!dir_.valid()) return;  // moved away
  dir_.Reset();
  // What cannot be removed now is removed by the repair at the agent's next start.
  (void)RemoveArea(path_);
}

Result<UniqueFd> StagingArea::MakeDirectory(const std::string& name) const {
  CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(dir_.get(), name));
  CRYOPOD_RETURN_IF_ERROR(MakeDirectoryAt(dir_.get(), name, 0700));
  return OpenAt(dir_.get(), name, O_RDONLY | O_DIRECTORY);
}

void StagingArea::RemoveInBackground(const std::string& name) {
  const std::string removed = PathOf(".removed-" + std::to_string(removals_.size()));
  if (::rename(PathOf(name).c_str(), removed.c_str()) != 0) return;
  removals_.push_back(std::async(std::launch::async, [removed] { (void)RemoveTree(removed); }));
}

}  // namespace cryopod
