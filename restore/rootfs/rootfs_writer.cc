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

}  // namespace

// Directories that the layer does not mention are the image's. One that the image lacks is made the
// way every unpacker of image layers makes it.
Result<UniqueFd> RootfsWriter::OpenParent(const std::string& path) const {
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash);
  Result<UniqueFd> dir = OpenBeneath(root_fd_, parent, O_DIRECTORY | O_RDONLY);
  if (dir.ok() || dir.status().code() != Code::kNotFound) return dir;
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd above, OpenParent(parent));
  CRYOPOD_RETURN_IF_ERROR(MakeDirectoryAt(above.get(), parent.substr(parent.rfind('/') + 1), 0755));
  return OpenBeneath(root_fd_, parent, O_DIRECTORY | O_RDONLY);
}

Result<RootfsWriter::Place> RootfsWriter::Find(const std::string& path) const {
  CRYOPOD_RETURN_IF_ERROR(archive::CheckRelativePath(path));
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd parent, OpenParent(path));
  return Place{std::move(parent), path.substr(path.rfind('/') + 1)};
}

Status RootfsWriter::Apply(const LayerEntry& entry, const Content& content) {
  const std::string doing = "applying the writable layer";
  Result<Place> place = Find(entry.path);
  if (!place.ok()) return place.status().While(doing);
  switch (entry.kind) {
    case LayerEntry::Kind::kFile:
      return WriteFile(entry, content, *place).While(doing);
    case LayerEntry::Kind::kDirectory:
      return MakeDirectory(entry, *place).While(doing);
    case LayerEntry::Kind::kSymlink:
      return MakeSymlink(entry, *place).While(doing);
    case LayerEntry::Kind::kHardlink:
      return MakeHardlink(entry, *place).While(doing);
    case LayerEntry::Kind::kFifo:
      return MakeFifo(entry, *place).While(doing);
    case LayerEntry::Kind::kWhiteout:
      return RemoveTreeAt(place->parent.get(), place->name).While(doing);
    case LayerEntry::Kind::kOpaque:
      return Empty(entry).While(doing);
    case LayerEntry::Kind::kCharDevice:
    case LayerEntry::Kind::kBlockDevice:
      break;
  }
  return Status(Code::kFailedPrecondition,
                doing + ": " + entry.path + " is a device node, and an archive makes no devices");
}

Status RootfsWriter::WriteFile(const LayerEntry& entry, const Content& content,
                               const Place& place) {
  CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(place.parent.get(), place.name));
  CRYOPOD_ASSIGN_OR_RETURN(
      const UniqueFd file,
      OpenBeneath(place.parent.get(), place.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  CRYOPOD_RETURN_IF_ERROR(CopyContent(file.get(), entry, content));
  return SetAttributes(file.get(), entry);
}

Status RootfsWriter::MakeDirectory(const LayerEntry& entry, const Place& place) {
  if (!IsDirectoryAt(place.parent.get(), place.name)) {
    CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(place.parent.get(), place.name));
    CRYOPOD_RETURN_IF_ERROR(MakeDirectoryAt(place.parent.get(), place.name, 0700));
  }
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir,
                           OpenBeneath(place.parent.get(), place.name, O_DIRECTORY | O_RDONLY));
  directory_times_ns_.emplace_back(entry.path, entry.mtime_ns);
  return SetAttributes(dir.get(), entry);
}

Status RootfsWriter::MakeSymlink(const LayerEntry& entry, const Place& place) {
  CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(place.parent.get(), place.name));
  if (::symlinkat(entry.link_target.c_str(), place.parent.get(), place.name.c_str()) != 0) {
    return ErrnoStatus(errno, "symlink", entry.path);
  }
  return SetAttributesAt(place.parent.get(), place.name, entry);
}

Status RootfsWriter::MakeHardlink(const LayerEntry& entry, const Place& place) {
  CRYOPOD_ASSIGN_OR_RETURN(const Place target, Find(entry.link_target));
  struct stat status {};
  if (::fstatat(target.parent.get(), target.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus(errno, "stat", entry.link_target);
  }
  if (S_ISDIR(status.st_mode)) {
    return Status(Code::kDataLoss, entry.path + " is a hard link to a directory");
  }
  CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(place.parent.get(), place.name));
  // Without AT_SYMLINK_FOLLOW: a symlink is linked, not what it points to.
  if (::linkat(target.parent.get(), target.name.c_str(), place.parent.get(), place.name.c_str(),
               0) != 0) {
    return ErrnoStatus(errno, "link", entry.path);
  }
  return Status();
}

Status RootfsWriter::MakeFifo(const LayerEntry& entry, const Place& place) {
  CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(place.parent.get(), place.name));
  if (::mkfifoat(place.parent.get(), place.name.c_str(), 0600) != 0) {
    return ErrnoStatus(errno, "mkfifo", entry.path);
  }
  return SetAttributesAt(place.parent.get(), place.name, entry);
}

Status RootfsWriter::Empty(const LayerEntry& entry) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir,
                           OpenBeneath(root_fd_, entry.path, O_DIRECTORY | O_RDONLY));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> children, ListDirectory(dir.get()));
  for (const DirectoryEntry& child : children) {
    CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(dir.get(), child.name));
  }
  return Status();
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
