#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "agent/os/record_locks.h"
#include "agent/os/status.h"

namespace cryopod::criu {

// One process of pstree.img. PIDs are those of the container's PID namespace.
struct DumpedProcess {
  pid_t pid = 0;
  pid_t parent_pid = 0;
  std::vector<pid_t> threads;  // the main thread included; none in a zombie
};

// Source: CRIU images/pstree.proto, include/image.h (IMG_COMMON_MAGIC, PSTREE_MAGIC).
Result<std::vector<DumpedProcess>> ReadPstree(int images_dir_fd);

// None when there is no such image; locks of other kinds are left out.
// Source: CRIU images/file-lock.proto, criu/include/file-lock.h.
Result<std::vector<RecordLock>> ReadRecordLocks(int images_dir_fd);

// A file that a restore finds again by its path alone: open, mapped, working directory or program.
struct FileByPath {
  std::string path;  // absolute, in the container
  bool regular = false;
  uint64_t size_bytes = 0;  // of a regular one, which must have it at the restore
  bool operator==(const FileByPath&) const = default;
};

// What CRIU carries itself is left out: deleted files, and those whose name is another file's now.
// Source: CRIU images/regfile.proto, remap-file-path.proto, criu/files-reg.c (open_path).
Result<std::vector<FileByPath>> ReadFilesByPath(int images_dir_fd);

// stats-dump: durations in microseconds. Source: CRIU images/stats.proto.
struct DumpStats {
  uint64_t freezing_us = 0;
  uint64_t frozen_us = 0;
  uint64_t memdump_us = 0;
  uint64_t memwrite_us = 0;
};
Result<DumpStats> ReadDumpStats(int work_dir_fd);

}  // namespace cryopod::criu
