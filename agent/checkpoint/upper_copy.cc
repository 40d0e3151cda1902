#include "agent/checkpoint/upper_copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>
#include <vector>

#include "agent/archive/tar/layer_entry.h"
#include "agent/checkpoint/cancellation.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"

namespace cryopod::checkpoint {
namespace {

// A change within this time after another may bear the same ctime: the coarsest clock of a kernel
// (CONFIG_HZ=100) ticks every 10 ms.
constexpr int64_t kRecentNs = 50'000'000;
constexpr size_t kXattrBytesMax = 64 << 10;

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

int64_t NowNs() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return Nanoseconds(now);
}

Status CheckOverlayXattr(const std::string& key, const std::string& path) {
  for (const char* refused : {"trusted.overlay.redirect", "trusted.overlay.metacopy"}) {
    if (key == refused) {
      return Status(Code::kUnimplemented,
                    "the writable layer has " + key + " at " + path +
                        ", whose content stands in the container image; mount the snapshotter's"
                        " overlays with redirect_dir=off and metacopy=off");
    }
  }
  return Status();
}

// For the l-calls, which know no descriptors: an entry by its directory, not followed.
std::string ProcPath(int dir_fd, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(dir_fd) + "/" + name;
}

Result<std::vector<std::string>> ListXattrs(const std::string& of, const std::string& path) {
  // Most entries have none, and need no buffer for them.
  if (::llistxattr(of.c_str(), nullptr, 0) == 0) return std::vector<std::string>();
  std::string keys(kXattrBytesMax, '\0');
  const ssize_t size = ::llistxattr(of.c_str(), keys.data(), keys.size());
  if (size < 0 && errno != ENOTSUP) return ErrnoStatus(errno, "listxattr", path);
  std::vector<std::string> list;
  for (size_t at = 0; size > 0 && at < static_cast<size_t>(size); at += list.back().size() + 1) {
    list.emplace_back(keys.c_str() + at);
  }
  return list;
}

Status CopyXattrs(const std::string& from, const std::string& to, const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<std::string> keys, ListXattrs(from, path));
  if (keys.empty()) return Status();
  std::string value(kXattrBytesMax, '\0');
  for (const std::string& key : keys) {
    CRYOPOD_RETURN_IF_ERROR(CheckOverlayXattr(key, path));
    const ssize_t size = ::lgetxattr(from.c_str(), key.c_str(), value.data(), value.size());
    if (size < 0) {
      if (errno == ENODATA) continue;
      return ErrnoStatus(errno, "getxattr " + key, path);
    }
    if (::lsetxattr(to.c_str(), key.c_str(), value.data(), static_cast<size_t>(size), 0) != 0) {
      return ErrnoStatus(errno, "setxattr " + key, path);
    }
  }
  return Status();
}

Status ClearXattrs(const std::string& of, const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<std::string> keys, ListXattrs(of, path));
  for (const std::string& key : keys) {
    if (::lremovexattr(of.c_str(), key.c_str()) != 0 && errno != ENODATA) {
      return ErrnoStatus(errno, "removexattr " + key, path);
    }
  }
  return Status();
}

Status CopyOwner(int into_fd, const std::string& name, const struct stat& from,
                 const std::string& path) {
  if (::fchownat(into_fd, name.c_str(), from.st_uid, from.st_gid, AT_SYMLINK_NOFOLLOW) == 0) {
    return Status();
  }
  return ErrnoStatus(errno, "fchownat", path);
}

// Times last: everything else moves them.
Status CopyModeAndTimes(int into_fd, const std::string& name, const struct stat& from,
                        const std::string& path) {
  if (!S_ISLNK(from.st_mode) && ::fchmodat(into_fd, name.c_str(), from.st_mode & 07777, 0) != 0) {
    return ErrnoStatus(errno, "fchmodat", path);
  }
  const timespec times[2] = {from.st_atim, from.st_mtim};
  if (::utimensat(into_fd, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus(errno, "utimensat", path);
  }
  return Status();
}

// For anything but a directory. The owner comes first, because chown clears set-id bits and file
// capabilities.
Status CopyAttributes(int from_fd, int into_fd, const std::string& name, const struct stat& from,
                      const std::string& path) {
  CRYOPOD_RETURN_IF_ERROR(CopyOwner(into_fd, name, from, path));
  CRYOPOD_RETURN_IF_ERROR(CopyXattrs(ProcPath(from_fd, name), ProcPath(into_fd, name), path));
  return CopyModeAndTimes(into_fd, name, from, path);
}

Result<uint64_t> CopyRegular(int from_fd, int into_fd, const std::string& name,
                             const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd from,
                           OpenAt(from_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (::fstat(from.get(), &status) != 0) return ErrnoStatus(errno, "fstat", path);
  // What came in its place may be a fifo, out of which nothing may be read.
  if (!S_ISREG(status.st_mode))
    return Status(Code::kAborted, path + " is no regular file any more", Reason::kPodChanged);
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd into,
                           OpenAt(into_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  return CopyFileBytes(from.get(), into.get());
}

Status CopySymlink(int from_fd, int into_fd, const std::string& name, const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string target, ReadLinkAt(from_fd, name).While(path));
  if (::symlinkat(target.c_str(), into_fd, name.c_str()) != 0) {
    return ErrnoStatus(errno, "symlinkat", path);
  }
  return Status();
}

// While the pod runs an entry may be gone, or of another kind, between two calls; the frozen pass
// looks again and says what is really wrong. A full staging area and a layer that cannot be copied
// are no better then.
bool MayBeRace(const Status& status) {
  return status.code() != Code::kResourceExhausted && status.code() != Code::kUnimplemented;
}

}  // namespace

UpperCopy::UpperCopy(int upper_dir_fd, int into_dir_fd)
    : upper_fd_(upper_dir_fd), into_fd_(into_dir_fd), began_ns_(NowNs()) {}

Status UpperCopy::CopyAhead(const std::set<std::string>& mapped_paths) {
  Pass pass{false, &mapped_paths, {}, {}};
  CRYOPOD_RETURN_IF_ERROR(WalkDirectory(upper_fd_, into_fd_, "", pass));
  ahead_ = std::move(pass.seen);
  return Status();
}

Status UpperCopy::Finish(const std::set<std::string>& mapped_paths) {
  Pass pass{true, &mapped_paths, {}, {}};
  bytes_ = 0;
  CRYOPOD_RETURN_IF_ERROR(WalkDirectory(upper_fd_, into_fd_, "", pass));
  return RemoveVanished(pass);
}

Status UpperCopy::WalkDirectory(int from_fd, int into_fd, const std::string& prefix, Pass& pass) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(from_fd));
  for (const DirectoryEntry& entry : entries) {
    if (!pass.frozen) CRYOPOD_RETURN_IF_ERROR(CheckNotCancelled());
    const std::string path = prefix + entry.name;
    Status taken = TakeEntry(from_fd, into_fd, entry.name, path, pass);
    if (taken.ok()) continue;
    if (pass.frozen || !MayBeRace(taken)) return std::move(taken).While("copying " + path);
    // Remembered all the same: a part of it may stand in the copy.
    pass.seen[path].recent = true;
  }
  return Status();
}

// What the first pass left under a name that has changed is of another time, perhaps of another
// kind. A directory that is still the same one stays; otherwise nothing beneath it can be trusted.
Status UpperCopy::MakeRoom(int into_fd, const std::string& name, const std::string& path,
                           const Seen& now) {
  const auto before = ahead_.find(path);
  if (before != ahead_.end() && S_ISDIR(now.mode) && S_ISDIR(before->second.mode) &&
      before->second.inode == now.inode) {
    return Status();
  }
  const std::string beneath = path + "/";
  for (auto it = ahead_.lower_bound(beneath);
       it != ahead_.end() && it->first.starts_with(beneath);) {
    it = ahead_.erase(it);
  }
  return RemoveTreeAt(into_fd, name);
}

bool UpperCopy::IsUnchanged(const std::string& path, const Seen& now, const Pass& pass) const {
  if (!pass.frozen) return false;
  const auto before = ahead_.find(path);
  if (before == ahead_.end() || before->second.recent || pass.mapped->contains(path)) return false;
  return before->second.inode == now.inode && before->second.ctime_ns == now.ctime_ns &&
         before->second.size_bytes == now.size_bytes && before->second.mode == now.mode;
}

Status UpperCopy::TakeDirectory(int from_fd, int into_fd, const std::string& name,
                                const std::string& path, Pass& pass) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd from,
                           OpenAt(from_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat status {};
  if (::fstat(from.get(), &status) != 0) return ErrnoStatus(errno, "fstat", path);
  if (::mkdirat(into_fd, name.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, "mkdirat", path);
  }
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd into,
                           OpenAt(into_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  const std::string into_path = ProcPath(into.get(), ".");
  CRYOPOD_RETURN_IF_ERROR(ClearXattrs(into_path, path));
  CRYOPOD_RETURN_IF_ERROR(CopyXattrs(ProcPath(from.get(), "."), into_path, path));
  CRYOPOD_RETURN_IF_ERROR(WalkDirectory(from.get(), into.get(), path + "/", pass));
  CRYOPOD_RETURN_IF_ERROR(CopyOwner(into_fd, name, status, path));
  return CopyModeAndTimes(into_fd, name, status, path);
}

Status UpperCopy::TakeEntry(int from_fd, int into_fd, const std::string& name,
                            const std::string& path, Pass& pass) {
  struct stat status {};
  if (::fstatat(from_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus(errno, "fstatat", path);
  }
  if (S_ISSOCK(status.st_mode)) return Status();
  const bool whiteout = S_ISCHR(status.st_mode) && status.st_rdev == 0;
  if (!whiteout && (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode))) {
    return archive::RefuseDeviceNode(path);
  }
  if (pass.seen.size() == archive::kLayerEntriesMax) return archive::RefuseTooManyEntries();
  const int64_t ctime_ns = Nanoseconds(status.st_ctim);
  const bool recent = ctime_ns > began_ns_ - kRecentNs || pass.mapped->contains(path);
  const Seen now{status.st_ino, ctime_ns, status.st_size, status.st_mode, recent};
  pass.seen[path] = now;
  if (S_ISREG(status.st_mode)) bytes_ += static_cast<uint64_t>(status.st_size);
  // A file with several names may be mapped under any of them, so all are taken again together.
  const bool may_stay = !S_ISDIR(status.st_mode) && status.st_nlink == 1;
  if (may_stay && IsUnchanged(path, now, pass)) return Status();

  if (pass.frozen) CRYOPOD_RETURN_IF_ERROR(MakeRoom(into_fd, name, path, now));
  if (S_ISDIR(status.st_mode)) return TakeDirectory(from_fd, into_fd, name, path, pass);
  if (S_ISREG(status.st_mode) && status.st_nlink > 1) {
    const auto [first, is_new] = pass.links.try_emplace({status.st_dev, status.st_ino}, path);
    if (!is_new) {
      if (::linkat(into_fd_, first->second.c_str(), into_fd, name.c_str(), 0) == 0) return Status();
      return ErrnoStatus(errno, "linkat", path);
    }
  }
  if (S_ISREG(status.st_mode)) {
    CRYOPOD_ASSIGN_OR_RETURN(const uint64_t bytes, CopyRegular(from_fd, into_fd, name, path));
    if (pass.frozen) bytes_frozen_ += bytes;
  } else if (S_ISLNK(status.st_mode)) {
    CRYOPOD_RETURN_IF_ERROR(CopySymlink(from_fd, into_fd, name, path));
  } else if (::mknodat(into_fd, name.c_str(), status.st_mode, status.st_rdev) != 0) {
    return ErrnoStatus(errno, "mknodat", path);
  }
  return CopyAttributes(from_fd, into_fd, name, status, path);
}

Status UpperCopy::RemoveVanished(const Pass& pass) {
  for (const auto& [path, seen] : ahead_) {
    if (pass.seen.contains(path)) continue;
    const size_t slash = path.rfind('/');
    // A parent that vanished too takes it along in its own turn.
    if (slash != std::string::npos && !pass.seen.contains(path.substr(0, slash))) continue;
    if (slash == std::string::npos) {
      CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(into_fd_, path));
      continue;
    }
    Result<UniqueFd> parent = OpenBeneath(into_fd_, path.substr(0, slash), O_RDONLY | O_DIRECTORY);
    if (!parent.ok()) continue;
    CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(parent->get(), path.substr(slash + 1)));
    // Removing an entry moved the directory's time, which had been set already.
    struct stat status {};
    if (::fstatat(upper_fd_, path.substr(0, slash).c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
      CRYOPOD_RETURN_IF_ERROR(CopyModeAndTimes(into_fd_, path.substr(0, slash), status, path));
    }
  }
  return Status();
}

}  // namespace cryopod::checkpoint
