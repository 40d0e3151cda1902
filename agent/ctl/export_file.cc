#include "agent/ctl/export_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "agent/os/file.h"

namespace cryopod::ctl {
namespace {

Status Taken(const std::string& path) {
  return Status(Code::kAlreadyExists, path + " exists already; --force replaces it");
}

Status CheckTarget(int directory_fd, const std::string& name, const std::string& path,
                   bool overwrite) {
  struct stat info = {};
  if (::fstatat(directory_fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? Status() : ErrnoStatus(errno, "stat", path);
  }
  if (!S_ISREG(info.st_mode)) {
    return Status(Code::kInvalidArgument, path + " exists and is no regular file; name another");
  }
  return overwrite ? Status() : Taken(path);
}

}  // namespace

Result<ExportFile> ExportFile::Create(const std::string& path, bool overwrite) {
  const std::filesystem::path parts(path);
  ExportFile file;
  file.path_ = path;
  file.name_ = parts.filename();
  file.overwrite_ = overwrite;
  if (file.name_.empty() || file.name_ == "." || file.name_ == "..") {
    return Status(Code::kInvalidArgument, "\"" + path + "\" names no file");
  }
  file.partial_name_ = "." + file.name_ + ".partial-" + std::to_string(::getpid());
  CRYOPOD_ASSIGN_OR_RETURN(
      file.directory_, OpenDirectory(parts.has_parent_path() ? parts.parent_path().string() : "."));
  const int directory = file.directory_.get();
  CRYOPOD_RETURN_IF_ERROR(CheckTarget(directory, file.name_, path, overwrite));
  // A file without a name leaves nothing behind, however this program ends.
  file.file_.Reset(::openat(directory, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (file.file_.valid()) return file;
  // Not every file system has it: EOPNOTSUPP, or EISDIR from before there was such a flag.
  if (errno != EOPNOTSUPP && errno != EISDIR) return ErrnoStatus(errno, "open", path);
  CRYOPOD_ASSIGN_OR_RETURN(
      file.file_, OpenAt(directory, file.partial_name_, O_WRONLY | O_CREAT | O_EXCL, 0600));
  file.has_partial_name_ = true;
  return file;
}

ExportFile::~ExportFile() {
  if (has_partial_name_ && directory_.valid()) {
    ::unlinkat(directory_.get(), partial_name_.c_str(), 0);
  }
}

Status ExportFile::Append(std::string_view bytes) {
  CRYOPOD_RETURN_IF_ERROR(WriteAll(file_.get(), bytes).While("writing " + path_));
  size_bytes_ += bytes.size();
  return Status();
}

Status ExportFile::Link(const std::string& name) {
  const std::string self = "/proc/self/fd/" + std::to_string(file_.get());
  if (::linkat(AT_FDCWD, self.c_str(), directory_.get(), name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
    return Status();
  }
  return errno == EEXIST ? Taken(path_) : ErrnoStatus(errno, "link", path_);
}

Status ExportFile::Commit() {
  CRYOPOD_RETURN_IF_ERROR(Sync(file_.get(), path_));
  // link, other than rename, never replaces a file that appeared in the meantime.
  if (!overwrite_) {
    CRYOPOD_RETURN_IF_ERROR(Link(name_));
    return Sync(directory_.get(), "the directory of " + path_);
  }
  if (!has_partial_name_) {
    CRYOPOD_RETURN_IF_ERROR(Link(partial_name_));
    has_partial_name_ = true;
  }
  if (::renameat(directory_.get(), partial_name_.c_str(), directory_.get(), name_.c_str()) != 0) {
    return ErrnoStatus(errno, "rename", path_);
  }
  has_partial_name_ = false;
  return Sync(directory_.get(), "the directory of " + path_);
}

}  // namespace cryopod::ctl
