#include "agent/os/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <memory>
#include <utility>

#include "agent/os/file.h"

namespace cryopod {
namespace {

constexpr size_t kEntriesMax = 1'000'000;
// One descriptor a level: below the usual limit of 1024. What lies deeper is moved up first.
constexpr int kDepthMax = 200;

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

unsigned char TypeOf(int dir_fd, const char* name) {
  struct stat info {};
  if (::fstatat(dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return DT_UNKNOWN;
  return static_cast<unsigned char>(IFTODT(info.st_mode));
}

Status Unlink(int dir_fd, const std::string& name, bool is_directory) {
  const int flags = is_directory ? AT_REMOVEDIR : 0;
  if (::unlinkat(dir_fd, name.c_str(), flags) == 0 || errno == ENOENT) return Status();
  return ErrnoStatus(errno, "remove", name);
}

// Removes what a directory holds. Directories below kDepthMax go to `top_fd` under new names, so
// that neither the stack nor the number of descriptors grows with what a stranger nested.
class TreeRemover {
 public:
  explicit TreeRemover(int top_fd) : top_fd_(top_fd) {}

  Status RemoveAll() {
    do {
      moved_ = false;
      CRYOPOD_RETURN_IF_ERROR(RemoveContents(top_fd_, 1));
    } while (moved_);
    return Status();
  }

 private:
  Status RemoveContents(int dir_fd, int depth) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(dir_fd));
    Status first_error;
    for (const DirectoryEntry& entry : entries) {
      Status status = RemoveEntry(dir_fd, entry, depth);
      if (!status.ok() && first_error.ok()) first_error = status;
    }
    return first_error;
  }

  Status RemoveEntry(int dir_fd, const DirectoryEntry& entry, int depth) {
    if (entry.type == DT_DIR) {
      if (depth >= kDepthMax) return MoveUp(dir_fd, entry.name);
      // A mount gives EXDEV, a symlink that took the directory's place ELOOP.
      CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd child,
                               OpenBeneath(dir_fd, entry.name, O_DIRECTORY | O_RDONLY));
      CRYOPOD_RETURN_IF_ERROR(RemoveContents(child.get(), depth + 1));
    }
    return Unlink(dir_fd, entry.name, entry.type == DT_DIR);
  }

  Status MoveUp(int dir_fd, const std::string& name) {
    const std::string new_name = ".removed-" + std::to_string(++moves_);
    if (::renameat2(dir_fd, name.c_str(), top_fd_, new_name.c_str(), RENAME_NOREPLACE) != 0 &&
        errno != ENOENT) {
      return ErrnoStatus(errno, "rename", name);
    }
    moved_ = true;
    return Status();
  }

  int top_fd_;
  bool moved_ = false;
  uint64_t moves_ = 0;
};

}  // namespace

Result<std::vector<DirectoryEntry>> ListDirectory(int dir_fd) {
  // An open file of its own: the caller's offset stays where it is.
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd own, OpenAt(dir_fd, ".", O_DIRECTORY | O_RDONLY));
  const std::unique_ptr<DIR, CloseDir> dir(::fdopendir(own.get()));
  if (dir == nullptr) return ErrnoStatus(errno, "fdopendir", "");
  own.Release();
  std::vector<DirectoryEntry> entries;
  while (true) {
    errno = 0;
    const dirent* found = ::readdir(dir.get());
    if (found == nullptr && errno != 0) return ErrnoStatus(errno, "readdir", "");
    if (found == nullptr) break;
    const std::string_view name = found->d_name;
    if (name == "." || name == "..") continue;
    if (entries.size() == kEntriesMax) {
      return Status(Code::kResourceExhausted,
                    "directory with more than " + std::to_string(kEntriesMax) + " entries");
    }
    const unsigned char type =
        found->d_type == DT_UNKNOWN ? TypeOf(dir_fd, found->d_name) : found->d_type;
    entries.push_back({std::string(name), type});
  }
  std::ranges::sort(entries, {}, &DirectoryEntry::name);
  return entries;
}

Result<std::vector<DirectoryEntry>> ListDirectory(const std::string& path) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenDirectory(path));
  return ListDirectory(dir.get()).While(path);
}

Status MakeDirectories(const std::string& path, mode_t mode) {
  if (path.empty()) return Status(Code::kInvalidArgument, "mkdir: empty path");
  for (size_t slash = path.find('/', 1); true; slash = path.find('/', slash + 1)) {
    const std::string prefix = path.substr(0, slash);
    // EROFS and the like for a parent that exists are no failure: the last one decides.
    if (::mkdir(prefix.c_str(), mode) != 0 && errno != EEXIST) {
      const int error_number = errno;
      if (!PathExists(prefix)) return ErrnoStatus(error_number, "mkdir", prefix);
    }
    if (slash == std::string::npos) break;
  }
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, "stat", path);
  if (!S_ISDIR(info.st_mode)) return ErrnoStatus(ENOTDIR, "mkdir", path);
  return Status();
}

Status MakeDirectoryAt(int dir_fd, const std::string& name, mode_t mode) {
  if (::mkdirat(dir_fd, name.c_str(), mode) != 0) return ErrnoStatus(errno, "mkdir", name);
  return Status();
}

Status RemoveTreeAt(int dir_fd, const std::string& name) {
  struct stat info {};
  if (::fstatat(dir_fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? Status() : ErrnoStatus(errno, "stat", name);
  }
  if (S_ISDIR(info.st_mode)) {
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd top, OpenBeneath(dir_fd, name, O_DIRECTORY | O_RDONLY));
    CRYOPOD_RETURN_IF_ERROR(TreeRemover(top.get()).RemoveAll().While("removing " + name));
  }
  return Unlink(dir_fd, name, S_ISDIR(info.st_mode));
}

Status RemoveTree(const std::string& path) {
  std::filesystem::path trimmed = path;
  if (!trimmed.has_filename()) trimmed = trimmed.parent_path();
  const std::string name = trimmed.filename();
  if (name.empty() || name == "." || name == "..") {
    return Status(Code::kInvalidArgument, "remove " + path + ": not the name of an entry");
  }
  const std::string parent_path = trimmed.has_parent_path() ? trimmed.parent_path().string() : ".";
  Result<UniqueFd> parent = OpenDirectory(parent_path);
  if (!parent.ok() && parent.status().code() == Code::kNotFound) return Status();
  if (!parent.ok()) return parent.status();
  return RemoveTreeAt(parent->get(), name).While(parent_path);
}

void RemoveOldest(const std::string& path, size_t count_max, time_t oldest) {
  const Result<std::vector<DirectoryEntry>> entries = ListDirectory(path);
  if (!entries.ok()) return;
  std::vector<std::pair<time_t, std::string>> newest_first;
  for (const DirectoryEntry& entry : *entries) {
    struct stat info {};
    const std::string entry_path = path + "/" + entry.name;
    if (::stat(entry_path.c_str(), &info) == 0)
      newest_first.emplace_back(info.st_mtime, entry_path);
  }
  std::sort(newest_first.begin(), newest_first.end(), std::greater<>());
  for (size_t i = 0; i < newest_first.size(); ++i) {
    const auto& [changed, entry_path] = newest_first[i];
    if (i >= count_max || changed < oldest) (void)RemoveTree(entry_path);
  }
}

Result<uint64_t> FilesBytes(int dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(dir_fd));
  uint64_t bytes = 0;
  for (const DirectoryEntry& entry : entries) {
    struct stat status {};
    if (::fstatat(dir_fd, entry.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoStatus(errno, "fstatat", entry.name);
    }
    bytes += static_cast<uint64_t>(status.st_size);
  }
  return bytes;
}

Result<uint64_t> FreeBytes(const std::string& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0) return ErrnoStatus(errno, "statvfs", path);
  return uint64_t{info.f_bfree} * uint64_t{info.f_frsize};
}

}  // namespace cryopod
