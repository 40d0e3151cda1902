#include "agent/checkpoint/tree_size.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/mount.h"

namespace cryopod::checkpoint {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kStatBlockBytes = 512;
// A link that is no longer lies in the inode. Source: Linux mm/shmem.c (SHORT_SYMLINK_LEN).
constexpr int64_t kShortSymlinkBytes = 128;

uint64_t WholePages(uint64_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes; }

// In whole pages and without holes. A file system that knows no holes says that all
// of it is data.
uint64_t DataBytes(int fd, off_t size) {
  uint64_t bytes = 0;
  for (off_t at = 0; at < size;) {
    const off_t data = ::lseek(fd, at, SEEK_DATA);
    if (data < 0) break;  // a hole up to the end
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    const off_t end = hole < 0 ? size : std::min(hole, size);
    if (end <= data) break;
    const auto first_page = static_cast<uint64_t>(data) / kPageBytes * kPageBytes;
    bytes += WholePages(static_cast<uint64_t>(end) - first_page);
    at = end;
  }
  return bytes;
}

class Measure {
 public:
  Status Walk(int dir_fd, const std::string& prefix) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(dir_fd));
    for (const DirectoryEntry& entry : entries) {
      CRYOPOD_RETURN_IF_ERROR(Take(dir_fd, entry.name, prefix + entry.name));
    }
    return Status();
  }

  TreeSize TakeSize() { return std::move(size_); }

 private:
  Status Take(int dir_fd, const std::string& name, const std::string& path) {
    struct stat status {};
    if (::fstatat(dir_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return Status();
    if (S_ISSOCK(status.st_mode)) return Status();
    ++size_.entries;
    size_.staged_bytes += kTmpfsEntryBytes;
    if (S_ISREG(status.st_mode)) {
      const bool is_again =
          status.st_nlink > 1 && !links_.insert({status.st_dev, status.st_ino}).second;
      if (!is_again) size_.staged_bytes += FileBytes(dir_fd, name, status);
    } else if (S_ISLNK(status.st_mode)) {
      if (status.st_size > kShortSymlinkBytes) size_.staged_bytes += kPageBytes;
    } else if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) {
      const bool is_whiteout = S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
      if (!is_whiteout && size_.device_nodes.size() < kDeviceNodesMax) {
        size_.device_nodes.push_back(path);
      }
    }
    if (!S_ISDIR(status.st_mode)) return Status();
    const Result<UniqueFd> directory = OpenAt(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    return directory.ok() ? Walk(directory->get(), path + "/") : Status();
  }

  static uint64_t FileBytes(int dir_fd, const std::string& name, const struct stat& status) {
    const auto bytes = static_cast<uint64_t>(status.st_size);
    if (static_cast<uint64_t>(status.st_blocks) * kStatBlockBytes >= bytes)
      return WholePages(bytes);
    // What came in its place may be a fifo.
    const Result<UniqueFd> file =
        OpenAt(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME);
    return file.ok() ? DataBytes(file->get(), status.st_size) : WholePages(bytes);
  }

  TreeSize size_;
  std::set<std::pair<dev_t, ino_t>> links_;
};

}  // namespace

Result<TreeSize> MeasureTree(const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd directory, OpenDirectory(path));
  Measure measure;
  CRYOPOD_RETURN_IF_ERROR(measure.Walk(directory.get(), ""));
  return measure.TakeSize();
}

}  // namespace cryopod::checkpoint
