#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod {

struct DirectoryEntry {
  std::string name;
  unsigned char type = 0;  // DT_*; DT_UNKNOWN is resolved
};

// Sorted by name, without "." and "..". Errors: kResourceExhausted above 1,000,000 entries.
Result<std::vector<DirectoryEntry>> ListDirectory(int dir_fd);
Result<std::vector<DirectoryEntry>> ListDirectory(const std::string& path);

// mkdir -p; existing directories keep their mode.
Status MakeDirectories(const std::string& path, mode_t mode = 0700);
// mkdirat; an existing directory is kAlreadyExists.
Status MakeDirectoryAt(int dir_fd, const std::string& name, mode_t mode = 0700);

// Removes `name` and everything beneath it without following a symlink or crossing into another
// mount; a name that is absent is success.
Status RemoveTreeAt(int dir_fd, const std::string& name);
Status RemoveTree(const std::string& path);
// Of what lies in the directory the last `count_max` stay that have changed since `oldest`. What
// cannot be removed stays, too.
void RemoveOldest(const std::string& path, size_t count_max, time_t oldest = 0);

// The sizes of what lies in the directory itself, added up.
Result<uint64_t> FilesBytes(int dir_fd);

// Free bytes of the file system for root (statvfs).
Result<uint64_t> FreeBytes(const std::string& path);

}  // namespace cryopod
