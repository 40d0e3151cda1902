#include "agent/checkpoint/upper_copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>

#include "agent/archive/tar/layer_entry.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/mount.h"
#include "agent/os/proc.h"
#include "agent/os/xattrs.h"

namespace cryopod::checkpoint {
namespace {

// A change within this time after another may bear the same ctime: the coarsest clock of a kernel
// (CONFIG_HZ=100) ticks every 10 ms.
constexpr int64_t kRecentNs = 50'000'000;

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

int64_t NowNs() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return Nanoseconds(now);
}

// Where CRIU, which dumps beside the copy in the freeze, mounts what other mounts cover: a folder
// that comes and goes in a pod that stands still. Source: CRIU criu/mount.c (open_mountpoint).
bool IsNamedByCriu(std::string_view path) {
  constexpr std::string_view kTemplate = "cr-tmpfs.XXXXXX";
  if (path.starts_with("tmp/")) path.remove_prefix(4);
  return path.starts_with(kTemplate.substr(0, 9)) && path.size() == kTemplate.size();
}

// What a system call on `path` returned.
Status Told(int result, const char* call, const std::string& path) {
  return result == 0 ? Status() : ErrnoStatus(errno, call, path);
}

Status CheckOverlayXattr(const std::string& key, const std::string& path) {
  if (key != "trusted.overlay.redirect" && key != "trusted.overlay.metacopy") return Status();
  return Status(Code::kUnimplemented,
                "the writable layer has " + key + " at " + path +
                    ", whose content stands in the container image; mount the snapshotter's"
                    " overlays with redirect_dir=off and metacopy=off");
}

Status CopyXattrs(const std::string& from, const std::string& to, const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const Xattrs xattrs, ReadXattrs(from, path));
  for (const auto& [key, value] : xattrs) {
    CRYOPOD_RETURN_IF_ERROR(CheckOverlayXattr(key, path));
    CRYOPOD_RETURN_IF_ERROR(
        Told(::lsetxattr(to.c_str(), key.c_str(), value.data(), value.size(), 0), "lsetxattr", path)
            .While(key));
  }
  return Status();
}

Status ClearXattrs(const std::string& of, const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const Xattrs xattrs, ReadXattrs(of, path));
  for (const auto& [key, value] : xattrs) {
    CRYOPOD_RETURN_IF_ERROR(
        Told(::lremovexattr(of.c_str(), key.c_str()), "lremovexattr", path).While(key));
  }
  return Status();
}

// While the pod runs an entry may be gone, or of another kind, between two calls; the frozen pass
// looks again and says what is really wrong. A full staging area and a layer that cannot be copied
// are no better then, and who gives up or has no time left means it.
bool MayBeRace(const Status& status) {
  constexpr Code kFinal[] = {Code::kResourceExhausted, Code::kUnimplemented, Code::kCancelled,
                             Code::kDeadlineExceeded};
  return std::ranges::find(kFinal, status.code()) == std::end(kFinal);
}

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

uint64_t FileBytes(int dir_fd, const std::string& name, const struct stat& status) {
  const auto bytes = static_cast<uint64_t>(status.st_size);
  if (static_cast<uint64_t>(status.st_blocks) * kStatBlockBytes >= bytes) return WholePages(bytes);
  // What came in its place may be a fifo.
  const Result<UniqueFd> file =
      OpenAt(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME);
  return file.ok() ? DataBytes(file->get(), status.st_size) : WholePages(bytes);
}

using Links = std::set<std::pair<dev_t, ino_t>>;  // files with several names, already counted

Status Walk(int dir_fd, const std::string& prefix, TreeSize& size, Links& links) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(dir_fd));
  for (const auto& [name, type] : entries) {
    struct stat status {};
    if (::fstatat(dir_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISSOCK(status.st_mode)) continue;
    ++size.entries;
    size.staged_bytes += kTmpfsEntryBytes;
    if (S_ISREG(status.st_mode)) {
      const bool is_again =
          status.st_nlink > 1 && !links.insert({status.st_dev, status.st_ino}).second;
      if (!is_again) size.staged_bytes += FileBytes(dir_fd, name, status);
    } else if (S_ISLNK(status.st_mode)) {
      if (status.st_size > kShortSymlinkBytes) size.staged_bytes += kPageBytes;
    } else if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) {
      const bool is_whiteout = S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
      if (!is_whiteout && size.device_nodes.size() < kDeviceNodesMax) {
        size.device_nodes.push_back(prefix + name);
      }
    } else if (S_ISDIR(status.st_mode)) {
      const Result<UniqueFd> directory = OpenAt(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (!directory.ok()) continue;
      CRYOPOD_RETURN_IF_ERROR(Walk(directory->get(), prefix + name + "/", size, links));
    }
  }
  return Status();
}

}  // namespace

// One entry of the layer on its way into the copy: a name in two directories that are open.
struct UpperCopy::Entry {
  int from_fd;
  int into_fd;
  std::string name;
  std::string path;  // from the top

  Status CopyOwner(const struct stat& from) const {
    return Told(::fchownat(into_fd, name.c_str(), from.st_uid, from.st_gid, AT_SYMLINK_NOFOLLOW),
                "fchownat", path);
  }

  // Times last: everything else moves them.
  Status CopyModeAndTimes(const struct stat& from) const {
    if (!S_ISLNK(from.st_mode)) {
      CRYOPOD_RETURN_IF_ERROR(
          Told(::fchmodat(into_fd, name.c_str(), from.st_mode & 07777, 0), "fchmodat", path));
    }
    const timespec times[2] = {from.st_atim, from.st_mtim};
    return Told(::utimensat(into_fd, name.c_str(), times, AT_SYMLINK_NOFOLLOW), "utimensat", path);
  }

  // For anything but a directory. The owner comes first, because chown clears set-id bits and file
  // capabilities.
  Status CopyAttributes(const struct stat& from) const {
    CRYOPOD_RETURN_IF_ERROR(CopyOwner(from));
    CRYOPOD_RETURN_IF_ERROR(
        CopyXattrs(DescriptorPath(from_fd, name), DescriptorPath(into_fd, name), path));
    return CopyModeAndTimes(from);
  }

  Result<uint64_t> CopyRegular(const GoOn& go_on) const {
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd from,
                             OpenAt(from_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    struct stat status {};
    CRYOPOD_RETURN_IF_ERROR(Told(::fstat(from.get(), &status), "fstat", path));
    // What came in its place may be a fifo, out of which nothing may be read.
    if (!S_ISREG(status.st_mode))
      return Status(Code::kAborted, path + " is no regular file any more", Reason::kPodChanged);
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd into,
                             OpenAt(into_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    return CopyFileBytes(from.get(), into.get(), go_on);
  }

  Status CopySymlink() const {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string target, ReadLinkAt(from_fd, name).While(path));
    return Told(::symlinkat(target.c_str(), into_fd, name.c_str()), "symlinkat", path);
  }
};

UpperCopy::UpperCopy(int upper_dir_fd, int into_dir_fd)
    : upper_fd_(upper_dir_fd), into_fd_(into_dir_fd), began_ns_(NowNs()) {}

Status UpperCopy::CopyAhead(const std::set<std::string>& mapped_paths, const GoOn& go_on) {
  Pass pass{false, &mapped_paths, &go_on, {}, {}};
  CRYOPOD_RETURN_IF_ERROR(WalkDirectory(upper_fd_, into_fd_, "", pass));
  ahead_ = std::move(pass.seen);
  return Status();
}

Status UpperCopy::Finish(const std::set<std::string>& mapped_paths, const GoOn& go_on) {
  Pass pass{true, &mapped_paths, &go_on, {}, {}};
  bytes_ = 0;
  CRYOPOD_RETURN_IF_ERROR(WalkDirectory(upper_fd_, into_fd_, "", pass));
  return RemoveVanished(pass);
}

Status UpperCopy::WalkDirectory(int from_fd, int into_fd, const std::string& prefix, Pass& pass) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> listed, ListDirectory(from_fd));
  for (const DirectoryEntry& one : listed) {
    CRYOPOD_RETURN_IF_ERROR((*pass.go_on)());
    const Entry entry{from_fd, into_fd, one.name, prefix + one.name};
    const bool may_be_criu = pass.frozen && one.type == DT_DIR && IsNamedByCriu(entry.path);
    if (may_be_criu && !ahead_.contains(entry.path)) continue;
    Status taken = TakeEntry(entry, pass);
    if (taken.ok()) continue;
    if (pass.frozen || !MayBeRace(taken)) return std::move(taken).While("copying " + entry.path);
    // Remembered all the same: a part of it may stand in the copy.
    pass.seen[entry.path].recent = true;
  }
  return Status();
}

// What the first pass left under a name that has changed is of another time, perhaps of another
// kind. A directory that is still the same one stays; otherwise nothing beneath it can be trusted.
Status UpperCopy::MakeRoom(const Entry& entry, const Seen& now) {
  const auto before = ahead_.find(entry.path);
  if (before != ahead_.end() && S_ISDIR(now.mode) && S_ISDIR(before->second.mode) &&
      before->second.inode == now.inode) {
    return Status();
  }
  const std::string beneath = entry.path + "/";
  for (auto it = ahead_.lower_bound(beneath);
       it != ahead_.end() && it->first.starts_with(beneath);) {
    it = ahead_.erase(it);
  }
  return RemoveTreeAt(entry.into_fd, entry.name);
}

bool UpperCopy::IsUnchanged(const std::string& path, const Seen& now, const Pass& pass) const {
  const auto before = ahead_.find(path);
  return pass.frozen && before != ahead_.end() && !now.recent && before->second == now;
}

Status UpperCopy::TakeDirectory(const Entry& entry, Pass& pass) {
  const auto& [from_fd, into_fd, name, path] = entry;
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd from,
                           OpenAt(from_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat status {};
  CRYOPOD_RETURN_IF_ERROR(Told(::fstat(from.get(), &status), "fstat", path));
  if (::mkdirat(into_fd, name.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, "mkdirat", path);
  }
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd into,
                           OpenAt(into_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  const std::string into_path = DescriptorPath(into.get(), ".");
  CRYOPOD_RETURN_IF_ERROR(ClearXattrs(into_path, path));
  CRYOPOD_RETURN_IF_ERROR(CopyXattrs(DescriptorPath(from.get(), "."), into_path, path));
  CRYOPOD_RETURN_IF_ERROR(WalkDirectory(from.get(), into.get(), path + "/", pass));
  CRYOPOD_RETURN_IF_ERROR(entry.CopyOwner(status));
  return entry.CopyModeAndTimes(status);
}

Status UpperCopy::TakeEntry(const Entry& entry, Pass& pass) {
  const auto& [from_fd, into_fd, name, path] = entry;
  struct stat status {};
  CRYOPOD_RETURN_IF_ERROR(
      Told(::fstatat(from_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW), "fstatat", path));
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

  if (pass.frozen) CRYOPOD_RETURN_IF_ERROR(MakeRoom(entry, now));
  if (S_ISDIR(status.st_mode)) return TakeDirectory(entry, pass);
  if (S_ISREG(status.st_mode) && status.st_nlink > 1) {
    const auto [first, is_new] = pass.links.try_emplace({status.st_dev, status.st_ino}, path);
    if (!is_new) {
      return Told(::linkat(into_fd_, first->second.c_str(), into_fd, name.c_str(), 0), "linkat",
                  path);
    }
  }
  if (S_ISREG(status.st_mode)) {
    CRYOPOD_ASSIGN_OR_RETURN(const uint64_t bytes, entry.CopyRegular(*pass.go_on));
    if (pass.frozen) bytes_frozen_ += bytes;
  } else if (S_ISLNK(status.st_mode)) {
    CRYOPOD_RETURN_IF_ERROR(entry.CopySymlink());
  } else {
    CRYOPOD_RETURN_IF_ERROR(
        Told(::mknodat(into_fd, name.c_str(), status.st_mode, status.st_rdev), "mknodat", path));
  }
  return entry.CopyAttributes(status);
}

Status UpperCopy::RemoveVanished(const Pass& pass) {
  for (const auto& [path, seen] : ahead_) {
    if (pass.seen.contains(path)) continue;
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) {
      CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(into_fd_, path));
      continue;
    }
    // A parent that vanished too takes it along in its own turn.
    const std::string parent_path = path.substr(0, slash);
    if (!pass.seen.contains(parent_path)) continue;
    const Result<UniqueFd> parent = OpenBeneath(into_fd_, parent_path, O_RDONLY | O_DIRECTORY);
    if (!parent.ok()) continue;
    CRYOPOD_RETURN_IF_ERROR(RemoveTreeAt(parent->get(), path.substr(slash + 1)));
    // Removing an entry moved the directory's time, which had been set already.
    struct stat status {};
    if (::fstatat(upper_fd_, parent_path.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
      const Entry directory{upper_fd_, into_fd_, parent_path, path};
      CRYOPOD_RETURN_IF_ERROR(directory.CopyModeAndTimes(status));
    }
  }
  return Status();
}

Result<std::set<std::string>> SharedWritableFiles(const Cgroup& cgroup) {
  std::set<std::string> paths;
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<pid_t> pids, cgroup.Processes());
  for (const pid_t pid : pids) {
    const Result<std::vector<FileMapping>> mappings = ReadFileMappings(pid);
    if (!mappings.ok()) continue;  // it has ended meanwhile
    for (const FileMapping& mapping : *mappings) {
      const std::string& permissions = mapping.permissions;
      const bool shared_and_writable =
          permissions.size() == 4 && permissions[1] == 'w' && permissions[3] == 's';
      if (shared_and_writable && mapping.path.starts_with('/'))
        paths.insert(mapping.path.substr(1));
    }
  }
  return paths;
}

Result<TreeSize> MeasureTree(const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd directory, OpenDirectory(path));
  TreeSize size;
  Links links;
  CRYOPOD_RETURN_IF_ERROR(Walk(directory.get(), "", size, links));
  return size;
}

}  // namespace cryopod::checkpoint
