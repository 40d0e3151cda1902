#pragma once

#include <cstdint>
#include <string>

#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod {

// What a file or directory of a tmpfs costs beside its data: inode, directory entry and extended
// attributes. The kernel itself counts 1 KiB for the inode (Linux mm/shmem.c, BOGO_INODE_SIZE).
inline constexpr uint64_t kTmpfsEntryBytes = 2048;

// A private tmpfs of at most `size_bytes` of data, and of at most one entry for each KiB of it
// (4096 however small it is), mode 0700, at `path` (made when absent).
Status MountTmpfs(const std::string& path, uint64_t size_bytes);
// Detaches whatever is mounted at `path`, as often as something is; nothing mounted is success.
Status UnmountAll(const std::string& path);
bool IsMountPoint(const std::string& path);

// A directory that is nowhere: empty, read-only, of a mount that is in no namespace. As the root of
// a process it shows nothing, and nothing is above it.
Result<UniqueFd> MakeEmptyRoot();
// Opens a file for reading on a mount of its own, which is in no namespace either: who gets the
// descriptor comes from it to no other file, and cannot open it anew for writing.
Result<UniqueFd> OpenOnMountOfItsOwn(const std::string& path);

}  // namespace cryopod
