#include "agent/os/file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <vector>

namespace cryopod {
namespace {

constexpr size_t kCopyBufferBytes = size_t{256} << 10;
// In one call, which nobody can interrupt: a second on a slow disk.
constexpr uint64_t kCopyRangeBytes = uint64_t{64} << 20;
// openat2 gives up with EAGAIN when somebody renames while it walks beneath a directory.
constexpr int kBeneathTries = 16;

Result<UniqueFd> OpenAt2(int dir_fd, const std::string& path, int flags, mode_t mode,
                         uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags) | O_CLOEXEC;
  // openat2 refuses a mode without a file to make.
  if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) how.mode = mode;
  how.resolve = resolve | RESOLVE_NO_MAGICLINKS;
  int error_number = EAGAIN;
  for (int i = 0; i < kBeneathTries && (error_number == EAGAIN || error_number == EINTR); ++i) {
    const long fd = ::syscall(SYS_openat2, dir_fd, path.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    error_number = errno;
  }
  return ErrnoStatus(error_number, "openat2", path);
}

// At most `size_bytes` from one descriptor's offset to the other's; less only at the file's end.
Result<uint64_t> CopyThroughBuffer(int from_fd, int to_fd, uint64_t size_bytes, const GoOn& go_on) {
  // No larger than the file: many are small, and a buffer costs more than their copy.
  std::vector<char> buffer(std::min<uint64_t>(kCopyBufferBytes, size_bytes));
  uint64_t copied = 0;
  while (copied < size_bytes) {
    CRYOPOD_RETURN_IF_ERROR(go_on());
    const size_t want = std::min<uint64_t>(buffer.size(), size_bytes - copied);
    const ssize_t got = ::read(from_fd, buffer.data(), want);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read", "while copying");
    if (got == 0) break;
    CRYOPOD_RETURN_IF_ERROR(
        WriteAll(to_fd, std::string_view(buffer.data(), static_cast<size_t>(got))));
    copied += static_cast<uint64_t>(got);
  }
  return copied;
}

Result<uint64_t> CopyData(int from_fd, int to_fd, uint64_t size_bytes, const GoOn& go_on) {
  uint64_t copied = 0;
  while (copied < size_bytes) {
    CRYOPOD_RETURN_IF_ERROR(go_on());
    const size_t want = std::min<uint64_t>(size_bytes - copied, kCopyRangeBytes);
    const ssize_t got = ::copy_file_range(from_fd, nullptr, to_fd, nullptr, want, 0);
    if (got < 0 && errno == EINTR) continue;
    // Not between these file systems; whatever else is wrong shows there as well.
    if (got < 0 && copied == 0) return CopyThroughBuffer(from_fd, to_fd, size_bytes, go_on);
    if (got < 0) return ErrnoStatus(errno, "copy_file_range", "");
    if (got == 0) break;
    copied += static_cast<uint64_t>(got);
  }
  return copied;
}

// The data ranges of [start, end), each at its place relative to `to_base`.
Result<uint64_t> CopyRanges(int from_fd, int to_fd, off_t start, off_t end, off_t to_base,
                            const GoOn& go_on) {
  off_t position = start;
  while (position < end) {
    const off_t data = ::lseek(from_fd, position, SEEK_DATA);
    if (data < 0 && errno != ENXIO) return ErrnoStatus(errno, "lseek SEEK_DATA", "");
    if (data < 0 || data >= end) break;
    const off_t hole = ::lseek(from_fd, data, SEEK_HOLE);
    if (hole < 0 && errno != ENXIO) return ErrnoStatus(errno, "lseek SEEK_HOLE", "");
    if (hole < 0) break;
    if (::lseek(from_fd, data, SEEK_SET) < 0 ||
        ::lseek(to_fd, to_base + data - start, SEEK_SET) < 0)
      return ErrnoStatus(errno, "lseek", "");
    const auto want = static_cast<uint64_t>(std::min(hole, end) - data);
    CRYOPOD_ASSIGN_OR_RETURN(const uint64_t copied, CopyData(from_fd, to_fd, want, go_on));
    if (data > position) {
      // A tmpfs of large folios has filled what lies before the data in the same folio. Where the
      // filesystem punches no holes it has none of these either.
      (void)::fallocate(to_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        to_base + position - start, data - position);
    }
    position = data + static_cast<off_t>(copied);
    if (copied < want) {  // truncated by its owner meanwhile
      end = position;
      break;
    }
  }
  const off_t size = end - start;
  if (::ftruncate(to_fd, to_base + size) != 0) return ErrnoStatus(errno, "ftruncate", "");
  if (::lseek(from_fd, end, SEEK_SET) < 0 || ::lseek(to_fd, to_base + size, SEEK_SET) < 0)
    return ErrnoStatus(errno, "lseek", "");
  return static_cast<uint64_t>(size);
}

}  // namespace

Result<UniqueFd> OpenAt(int dir_fd, const std::string& path, int flags, mode_t mode) {
  while (true) {
    const int fd = ::openat(dir_fd, path.c_str(), flags | O_CLOEXEC, mode);
    if (fd >= 0) return UniqueFd(fd);
    if (errno != EINTR) return ErrnoStatus(errno, "open", path);
  }
}

Result<UniqueFd> OpenDirectory(const std::string& path) {
  return OpenAt(AT_FDCWD, path, O_DIRECTORY | O_RDONLY);
}

Result<UniqueFd> OpenBeneath(int dir_fd, const std::string& path, int flags, mode_t mode,
                             bool cross_mounts) {
  const uint64_t same_mount = cross_mounts ? 0 : RESOLVE_NO_XDEV;
  return OpenAt2(dir_fd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | same_mount);
}

Result<UniqueFd> OpenInRoot(int root_fd, const std::string& path, int flags) {
  return OpenAt2(root_fd, path, flags, 0, RESOLVE_IN_ROOT);
}

bool IsSameFile(const std::string& one, const std::string& other) {
  struct stat first {};
  struct stat second {};
  return ::stat(one.c_str(), &first) == 0 && ::stat(other.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

bool PathExists(const std::string& path) {
  struct stat ignored {};
  return ::lstat(path.c_str(), &ignored) == 0;
}

Result<std::string> ReadLinkAt(int dir_fd, const std::string& path) {
  std::string target(PATH_MAX + 64, '\0');  // as /proc tells one of PATH_MAX: with " (deleted)"
  const ssize_t size = ::readlinkat(dir_fd, path.c_str(), target.data(), target.size());
  if (size < 0) return ErrnoStatus(errno, "readlink", path);
  target.resize(static_cast<size_t>(size));
  return target;
}

Result<Pipe> MakePipe(int flags) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | flags) != 0) return ErrnoStatus(errno, "pipe", "");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Status WaitReady(int fd, short events, Deadline deadline, std::string_view doing) {
  while (true) {
    pollfd one{fd, events, 0};
    const int ready = ::poll(&one, 1, deadline.poll_timeout_ms());
    if (ready > 0 && (one.revents & POLLNVAL) == 0) return Status();
    if (ready > 0) return ErrnoStatus(EBADF, "poll", doing);
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll", doing);
    if (ready == 0 && deadline.expired()) {
      return Status(Code::kDeadlineExceeded, std::string(doing) + ": no answer in time");
    }
  }
}

Result<std::string> ReadAll(int fd, size_t size_bytes_max) {
  std::string bytes;
  std::array<char, 16384> buffer;
  while (true) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read", "");
    if (got == 0) return bytes;
    if (bytes.size() + static_cast<size_t>(got) > size_bytes_max) {
      return Status(Code::kResourceExhausted,
                    "read: more than " + std::to_string(size_bytes_max) + " bytes");
    }
    bytes.append(buffer.data(), static_cast<size_t>(got));
  }
}

Result<std::string> ReadFile(const std::string& path, size_t size_bytes_max) {
  return ReadFileAt(AT_FDCWD, path, size_bytes_max);
}

Result<std::string> ReadFileAt(int dir_fd, const std::string& name, size_t size_bytes_max) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd file, OpenAt(dir_fd, name, O_RDONLY));
  return ReadAll(file.get(), size_bytes_max).While(name);
}

Result<std::string> ReadTailAt(int dir_fd, const std::string& name, size_t size_bytes) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd file, OpenAt(dir_fd, name, O_RDONLY | O_NOFOLLOW));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return ErrnoStatus(errno, "fstat", name);
  std::string tail(std::min(size_bytes, static_cast<size_t>(status.st_size)), '\0');
  const off_t from = status.st_size - static_cast<off_t>(tail.size());
  size_t have = 0;
  while (have < tail.size()) {
    const ssize_t length = ::pread(file.get(), tail.data() + have, tail.size() - have,
                                   from + static_cast<off_t>(have));
    if (length < 0) return ErrnoStatus(errno, "read", name);
    if (length == 0) break;  // it was cut meanwhile
    have += static_cast<size_t>(length);
  }
  tail.resize(have);
  return tail;
}

Status WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, "write", "");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return Status();
}

Status WriteControlFileAt(int dir_fd, const std::string& name, std::string_view bytes) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd file, OpenAt(dir_fd, name, O_WRONLY));
  while (true) {
    const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, "write", name);
    if (static_cast<size_t>(written) != bytes.size()) {
      return Status(Code::kInternal, "write " + name + ": the kernel took only a part");
    }
    return Status();
  }
}

Status WriteFileAtomically(int dir_fd, const std::string& name, std::string_view bytes,
                           mode_t mode) {
  const std::string partial = name + ".partial";
  CRYOPOD_ASSIGN_OR_RETURN(
      const UniqueFd file,
      OpenAt(dir_fd, partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
  // The leftover of another writer may have other bits, and our umask may have taken some away.
  if (::fchmod(file.get(), mode) != 0) return ErrnoStatus(errno, "fchmod", partial);
  CRYOPOD_RETURN_IF_ERROR(WriteAll(file.get(), bytes).While("writing " + partial));
  CRYOPOD_RETURN_IF_ERROR(Sync(file.get(), partial));
  if (::renameat(dir_fd, partial.c_str(), dir_fd, name.c_str()) != 0) {
    return ErrnoStatus(errno, "rename", name);
  }
  return Sync(dir_fd, "directory of " + name);
}

Result<uint64_t> CopyFileBytes(int from_fd, int to_fd, const GoOn& go_on) {
  struct stat from {};
  struct stat to {};
  if (::fstat(from_fd, &from) != 0 || ::fstat(to_fd, &to) != 0)
    return ErrnoStatus(errno, "fstat", "while copying");
  // A size of 0 says nothing: /proc has regular files without one. Pipes have no holes.
  if (!S_ISREG(from.st_mode) || !S_ISREG(to.st_mode) || from.st_size == 0) {
    return CopyThroughBuffer(from_fd, to_fd, UINT64_MAX, go_on);
  }
  const off_t start = ::lseek(from_fd, 0, SEEK_CUR);
  const off_t to_base = ::lseek(to_fd, 0, SEEK_CUR);
  if (start < 0 || to_base < 0) return ErrnoStatus(errno, "lseek", "while copying");
  if (start >= from.st_size) return uint64_t{0};
  return CopyRanges(from_fd, to_fd, start, from.st_size, to_base, go_on);
}

Status Sync(int fd, std::string_view subject) {
  while (::fsync(fd) != 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "fsync", subject);
  }
  return Status();
}

}  // namespace cryopod
