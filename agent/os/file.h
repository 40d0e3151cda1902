#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod {

// Largest file under /proc or /sys/fs/cgroup that is read whole: mountinfo and smaps of a busy
// container stay well below it.
inline constexpr size_t kControlFileBytesMax = size_t{16} << 20;

// openat(2) with O_CLOEXEC. `dir_fd` may be AT_FDCWD. Errors as in ErrnoStatus.
Result<UniqueFd> OpenAt(int dir_fd, const std::string& path, int flags, mode_t mode = 0);
// A directory by path, O_DIRECTORY | O_RDONLY.
Result<UniqueFd> OpenDirectory(const std::string& path);
// openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS, and
// RESOLVE_NO_XDEV unless `cross_mounts`: for names that a stranger chose. Source: openat2(2).
Result<UniqueFd> OpenBeneath(int dir_fd, const std::string& path, int flags, mode_t mode = 0,
                             bool cross_mounts = false);
// openat2(2) with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS: `path` as a process sees it whose root
// is `root_fd`, through its symlinks and across its mounts.
Result<UniqueFd> OpenInRoot(int root_fd, const std::string& path, int flags);

// Do both paths lead to one file? False where either leads nowhere.
bool IsSameFile(const std::string& one, const std::string& other);
bool PathExists(const std::string& path);
Result<std::string> ReadLinkAt(int dir_fd, const std::string& path);

// Its ends close at exec; `flags` as of pipe2(2).
struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};
Result<Pipe> MakePipe(int flags = 0);
// Waits until poll(2) reports one of `events`, or that the other side has gone or failed; `doing`
// begins the error. Errors: kDeadlineExceeded.
Status WaitReady(int fd, short events, Deadline deadline, std::string_view doing);

// Reads to the end. Errors: kResourceExhausted when there is more than `size_bytes_max`.
Result<std::string> ReadAll(int fd, size_t size_bytes_max);
Result<std::string> ReadFile(const std::string& path, size_t size_bytes_max = kControlFileBytesMax);
Result<std::string> ReadFileAt(int dir_fd, const std::string& name,
                               size_t size_bytes_max = kControlFileBytesMax);
// The last `size_bytes` of a regular file that may be of any size, or all of a smaller one.
Result<std::string> ReadTailAt(int dir_fd, const std::string& name, size_t size_bytes);

Status WriteAll(int fd, std::string_view bytes);
// One write(2) to an existing control file (cgroup, sysctl). Nothing is created or truncated.
Status WriteControlFileAt(int dir_fd, const std::string& name, std::string_view bytes);
// A reader sees the old bytes or the new ones, also after a power cut. A leftover "<name>.partial"
// is ignored by readers and truncated by the next writer.
Status WriteFileAtomically(int dir_fd, const std::string& name, std::string_view bytes,
                           mode_t mode = 0600);
// What takes long asks it again and again; its error ends it.
using GoOn = std::function<Status()>;
// Copies `from_fd` from its current offset to its end into `to_fd` (copy_file_range where the file
// systems allow it, else through a buffer); holes inside the copied range stay holes. Returns the
// number of bytes of the file.
Result<uint64_t> CopyFileBytes(
    int from_fd, int to_fd, const GoOn& go_on = [] { return Status(); });

// fsync of a file or directory; `subject` names it in the error.
Status Sync(int fd, std::string_view subject);

}  // namespace cryopod
