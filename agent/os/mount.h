#pragma once

#include <cstdint>
#include <string>

#include "agent/os/status.h"

namespace cryopod {

// A private tmpfs of at most `size_bytes`, mode 0700, at `path` (made when absent).
Status MountTmpfs(const std::string& path, uint64_t size_bytes);
// Detaches whatever is mounted at `path`, as often as something is; nothing mounted is success.
Status UnmountAll(const std::string& path);
bool IsMountPoint(const std::string& path);

}  // namespace cryopod
