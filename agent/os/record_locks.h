#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/status.h"

namespace cryopod {

// A lock of fcntl(2) that a process of a container holds.
struct RecordLock {
  uint32_t pid = 0;  // in the container's PID namespace
  uint32_t fd = 0;
  bool exclusive = false;
  uint64_t start = 0;
  uint64_t length = 0;  // 0: to the end of the file, wherever that will be
  bool operator==(const RecordLock&) const = default;
};

// Does /proc/<pid>/fdinfo/<fd> say that the process holds the lock?
bool HoldsLock(std::string_view fdinfo, const RecordLock& lock);

// Sets those of `locks` that the restored processes of a cgroup do not hold, in their name; returns
// how many that were. CRIU 4.2 sets record locks before it maps files, and then closes the
// descriptor that it mapped one by, with which the kernel drops the process's locks on that file
// (SQLite in WAL mode would write two at once). A process that lacks one must be held as
// StoppedProcess::Hold asks for, and stays so. `init` is the container's first one.
// Errors: kFailedPrecondition and others; they name process and descriptor.
Result<size_t> SetLostLocks(pid_t init, const std::string& cgroup_dir,
                            const std::vector<RecordLock>& locks);

}  // namespace cryopod
