#include "restore/rootfs/rootfs_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "agent/os/directory.h"
#include "agent/os/file.h"

namespace cryopod::restore {
namespace {

using archive::LayerEntry;

constexpr size_t kCopyBytes = size_t{128} << 10;
constexpr size_t kPageBytes = 4096;
constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr mode_t kPermissionBits = 07777;

std::array<timespec, 2> Times(int64_t mtime_ns) {
  timespec time{mtime_ns / kNanosecondsPerSecond, mtime_ns % kNanosecondsPerSecond};
  if (time.tv_nsec < 0) {
    time.tv_nsec += kNanosecondsPerSecond;
    --time.tv_sec;
  }
  return {time, time};
}

// Overlay's own marks must not be forged, and labels are the live container's.
bool IsCarried(std::string_view xattr) {
  return xattr.starts_with("user.") || xattr == "security.capability" ||
         xattr == "system.posix_acl_access" || xattr == "system.posix_acl_default";
}

// In this order: a change of owner clears the set-id bits and the capability.
Status SetAttributes(int fd, const LayerEntry& entry) {
  if (::fchown(fd, entry.uid, entry.gid) != 0) return ErrnoStatus(errno, "chown", entry.path);
  if (::fchmod(fd, entry.mode & kPermissionBits) != 0) {
    return ErrnoStatus(errno, "chmod", entry.path);
  }
  for (const auto& [name, value] : entry.xattrs) {
    if (!IsCarried(name)) continue;
    if (::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) != 0) {
      return ErrnoStatus(errno, "setxattr " + name, entry.path);
    }
  }
  if (::futimens(fd, Times(entry.mtime_ns).data()) != 0) {
    return ErrnoStatus(errno, "utimens", entry.path);
  }
  return Status();
}

// What has no descriptor that attributes could be set on.
Status SetAttributesAt(int parent_fd, const std::string& name, const LayerEntry& entry) {
  if (::fchownat(parent_fd, name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus(errno, "chown", entry.path);
  }
  const bool is_symlink = entry.kind == LayerEntry::Kind::kSymlink;
  if (!is_symlink && ::fchmodat(parent_fd, name.c_str(), entry.mode & kPermissionBits, 0) != 0) {
    return ErrnoStatus(errno, "chmod", entry.path);
  }
  if (::utimensat(parent_fd, name.c_str(), Times(entry.mtime_ns).data(), AT_SYMLINK_NOFOLLOW) !=
      0) {
    return ErrnoStatus(errno, "utimens", entry.path);
  }
  return Status();
}

// Fills `buffer` unless the content ends before that.
Result<size_t> FillBuffer(const LayerEntry& entry, const archive::LayerSink::Content& content,
                          uint64_t left, std::string& buffer) {
  size_t filled = 0;
  while (filled < buffer.size() && filled < left) {
    CRYOPOD_ASSIGN_OR_RETURN(const size_t got,
                             content(buffer.data() + filled, buffer.size() - filled));
    if (got == 0 || got > left - filled) {
      return Status(Code::kDataLoss,
                    "the content of " + entry.path + " has another size than said");
    }
    filled += got;
  }
  return filled;
}

bool IsZero(std::string_view bytes) {
  return bytes.empty() || (bytes[0] == 0 && bytes.substr(1) == bytes.substr(0, bytes.size() - 1));
}

// Leaves a hole for every page that is zero as a whole. The file's offset is at the end then, be it
// in a hole.
Status WriteData(int fd, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const bool is_hole = IsZero(bytes.substr(0, kPageBytes));
    size_t run = 0;
    while (run < bytes.size() && IsZero(bytes.substr(run, kPageBytes)) == is_hole) {
      run += std::min(kPageBytes, bytes.size() - run);
    }
    if (!is_hole) {
      CRYOPOD_RETURN_IF_ERROR(WriteAll(fd, bytes.substr(0, run)));
    } else if (::lseek(fd, static_cast<off_t>(run), SEEK_CUR) < 0) {
      return ErrnoStatus(errno, "lseek", path);
    }
    bytes.remove_prefix(run);
  }
  return Status();
}

// An archive does not tell holes from zeros; a sparse file that came back full could need more
// space than there is.
Status CopyContent(int fd, const LayerEntry& entry, const archive::LayerSink::Content& content) {
  static_assert(kCopyBytes % kPageBytes == 0);
  std::string buffer(kCopyBytes, '\0');
  for (uint64_t left = entry.size_bytes; left > 0;) {
    CRYOPOD_ASSIGN_OR_RETURN(const size_t filled, FillBuffer(entry, content, left, buffer));
    CRYOPOD_RETURN_IF_ERROR(WriteData(fd, entry.path, std::string_view(buffer.data(), filled)));
    left -= filled;
  }
  if (::ftruncate(fd, static_cast<off_t>(entry.size_bytes)) != 0) {
    return ErrnoStatus(errno, "ftruncate", entry.path);
  }
  return Status();
}

bool IsDirectoryAt(int parent_fd, const std::string& name) {
  struct stat status {};
  return ::fstatat(parent_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISDIR(status.st_mode);
}

// Where an entry lies.
struct Place {
  UniqueFd parent;
  std::string name;

  int fd() const { return parent.get(); }
};

// Directories that the layer does not mention are the image's. One that the image lacks is made the
// way every unpacker of image layers makes it.
Result<UniqueFd> OpenParent(int root_fd, const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash);
  Result<UniqueFd> dir = OpenBeneath(root_fd, parent, O_DIRECTORY | O_RDONLY);
  if (dir.ok() || dir.status().code() != Code::kNotFound) return dir;
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd above, OpenParent(root_fd, parent));
  CRYOPOD_RETURN_IF_ERROR(MakeDirectoryAt(above.get(), parent.substr(parent.rfind('/') + 1), 0755));
  return OpenBeneath(root_fd, parent, O_DIRECTORY | O_RDONLY);
}

Result<Place> FindPlace(int root_fd, const std::string& path) {
  CRYOPOD_RETURN_IF_ERROR(archive::CheckRelativePath(path));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd parent, OpenParent(root_fd, path));
  return Place{std::move(parent), path.substr(path.rfind('/') + 1)};
}

Status WriteFile(const Place& place, const LayerEntry& entry,
                 const archive::LayerSink::Content& content) {
  CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(place.fd(), place.name));
  CRYOPOD_ASSIGN_OR_RETURN(
      const UniqueFd file,
      OpenBeneath(place.fd(), place.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  CRYOPOD_RETURN_IF_ERROR(CopyContent(file.get(), entry, content));
  return SetAttributes(file.get(), entry);
}

Status MakeDirectory(const Place& place, const LayerEntry& entry) {
  if (!IsDirectoryAt(place.fd(), place.name)) {
    CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(place.fd(), place.name));
    CRYOPOD_RETURN_IF_ERROR(MakeDirectoryAt(place.fd(), place.name, 0700));
  }
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir,
                           OpenBeneath(place.fd(), place.name, O_DIRECTORY | O_RDONLY));
  return SetAttributes(dir.get(), entry);
}

// A symlink or a FIFO.
Status MakeSpecial(const Place& place, const LayerEntry& entry) {
  const bool is_fifo = entry.kind == LayerEntry::Kind::kFifo;
  CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(place.fd(), place.name));
  const int made = is_fifo ? ::mkfifoat(place.fd(), place.name.c_str(), 0600)
                           : ::symlinkat(entry.link_target.c_str(), place.fd(), place.name.c_str());
  if (made != 0) return ErrnoStatus(errno, is_fifo ? "mkfifo" : "symlink", entry.path);
  return SetAttributesAt(place.fd(), place.name, entry);
}

Status MakeHardlink(const Place& place, const Place& target, const LayerEntry& entry) {
  struct stat status {};
  if (::fstatat(target.fd(), target.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus(errno, "stat", entry.link_target);
  }
  if (S_ISDIR(status.st_mode)) {
    return Status(Code::kDataLoss, entry.path + " is a hard link to a directory");
  }
  CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(place.fd(), place.name));
  // Without AT_SYMLINK_FOLLOW: a symlink is linked, not what it points to.
  if (::linkat(target.fd(), target.name.c_str(), place.fd(), place.name.c_str(), 0) != 0) {
    return ErrnoStatus(errno, "link", entry.path);
  }
  return Status();
}

Status Empty(int root_fd, const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenBeneath(root_fd, path, O_DIRECTORY | O_RDONLY));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> children, ListDirectory(dir.get()));
  for (const DirectoryEntry& child : children) {
    CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(dir.get(), child.name));
  }
  return Status();
}

}  // namespace

Status RootfsWriter::Apply(const LayerEntry& entry, const Content& content) {
  return ApplyHere(entry, content).While("applying the writable layer");
}

Status RootfsWriter::ApplyHere(const LayerEntry& entry, const Content& content) {
  CRYOPOD_ASSIGN_OR_RETURN(const Place place, FindPlace(root_fd_, entry.path));
  switch (entry.kind) {
    case LayerEntry::Kind::kFile:
      return WriteFile(place, entry, content);
    case LayerEntry::Kind::kDirectory:
      directory_times_ns_.emplace_back(entry.path, entry.mtime_ns);
      return MakeDirectory(place, entry);
    case LayerEntry::Kind::kSymlink:
    case LayerEntry::Kind::kFifo:
      return MakeSpecial(place, entry);
    case LayerEntry::Kind::kHardlink: {
      CRYOPOD_ASSIGN_OR_RETURN(const Place target, FindPlace(root_fd_, entry.link_target));
      return MakeHardlink(place, target, entry);
    }
    case LayerEntry::Kind::kWhiteout:
      return RemoveTreeAt(place.fd(), place.name);
    case LayerEntry::Kind::kOpaque:
      return Empty(root_fd_, entry.path);
    case LayerEntry::Kind::kCharDevice:
    case LayerEntry::Kind::kBlockDevice:
      break;
  }
  return Status(Code::kFailedPrecondition,
                entry.path + " is a device node, and an archive makes no devices");
}

Status RootfsWriter::Finish() {
  for (const auto& [path, mtime_ns] : directory_times_ns_) {
    const Result<UniqueFd> dir = OpenBeneath(root_fd_, path, O_DIRECTORY | O_RDONLY);
    // A later entry may have replaced it.
    if (!dir.ok()) continue;
    if (::futimens(dir->get(), Times(mtime_ns).data()) != 0) {
      return ErrnoStatus(errno, "utimens", path);
    }
  }
  return Status();
}

}  // namespace cryopod::restore
