#include "agent/criu/tar/pack_tree.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "agent/os/directory.h"
#include "agent/os/file.h"

namespace cryopod::criu {
namespace {

constexpr size_t kEntriesMax = 256;
constexpr int kDepthMax = 16;
// What fits into one header of every kind of tar.
constexpr size_t kNameBytesMax = 99;

struct Entry {
  std::string path;
  struct stat attributes;
  std::string target;  // of a symlink
};

struct FreeArchive {
  void operator()(::archive* archive) const { ::archive_write_free(archive); }
};
struct FreeEntry {
  void operator()(::archive_entry* entry) const { ::archive_entry_free(entry); }
};

// Collects the tree as long as it is simple.
class SimpleTree {
 public:
  Result<bool> Collect(int dir_fd) {
    struct stat top {};
    if (::fstat(dir_fd, &top) != 0) return ErrnoStatus(errno, "fstat", "the tree");
    device_ = top.st_dev;
    entries_.push_back({"./", top, ""});
    return CollectIn(dir_fd, "./", 1);
  }
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  Result<bool> CollectIn(int dir_fd, const std::string& path, int depth) {
    if (depth > kDepthMax) return false;
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> names, ListDirectory(dir_fd));
    for (const DirectoryEntry& name : names) {
      CRYOPOD_ASSIGN_OR_RETURN(const bool simple, Add(dir_fd, path, name.name, depth));
      if (!simple) return false;
    }
    return true;
  }

  Result<bool> Add(int dir_fd, const std::string& parent, const std::string& name, int depth) {
    Entry entry{parent + name, {}, ""};
    if (::fstatat(dir_fd, name.c_str(), &entry.attributes, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoStatus(errno, "fstatat", entry.path);
    }
    const struct stat& attributes = entry.attributes;
    const bool is_directory = S_ISDIR(attributes.st_mode);
    if (is_directory) entry.path += '/';
    if (entries_.size() == kEntriesMax || entry.path.size() > kNameBytesMax) return false;
    if (!is_directory && (attributes.st_nlink != 1 || S_ISSOCK(attributes.st_mode))) return false;
    if (S_ISREG(attributes.st_mode) && attributes.st_size != 0) return false;
    if (S_ISLNK(attributes.st_mode)) {
      std::array<char, kNameBytesMax + 1> target{};
      const ssize_t size = ::readlinkat(dir_fd, name.c_str(), target.data(), target.size());
      if (size < 0) return ErrnoStatus(errno, "readlinkat", entry.path);
      if (static_cast<size_t>(size) > kNameBytesMax) return false;
      entry.target.assign(target.data(), static_cast<size_t>(size));
    }
    entries_.push_back(std::move(entry));
    if (!is_directory || attributes.st_dev != device_) return true;
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd below,
                             OpenAt(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    return CollectIn(below.get(), parent + name + "/", depth + 1);
  }

  dev_t device_ = 0;
  std::vector<Entry> entries_;
};

std::unique_ptr<::archive_entry, FreeEntry> HeaderOf(const Entry& from) {
  std::unique_ptr<::archive_entry, FreeEntry> header(::archive_entry_new());
  if (!header) return header;
  ::archive_entry_copy_stat(header.get(), &from.attributes);
  ::archive_entry_set_size(header.get(), 0);
  ::archive_entry_set_pathname(header.get(), from.path.c_str());
  if (S_ISLNK(from.attributes.st_mode)) {
    ::archive_entry_set_symlink(header.get(), from.target.c_str());
  }
  return header;
}

Status WriteEntries(const std::vector<Entry>& entries, int out_fd) {
  const std::unique_ptr<::archive, FreeArchive> tar(::archive_write_new());
  if (!tar) return Status(Code::kResourceExhausted, "libarchive: out of memory");
  const auto failed = [&tar] {
    const char* const reason = ::archive_error_string(tar.get());
    return Status(Code::kInternal, reason != nullptr ? reason : "libarchive gives no reason");
  };
  // Nothing after the end of the stream, whatever `out_fd` is.
  if (::archive_write_set_format_gnutar(tar.get()) != ARCHIVE_OK ||
      ::archive_write_add_filter_gzip(tar.get()) != ARCHIVE_OK ||
      ::archive_write_set_bytes_in_last_block(tar.get(), 1) != ARCHIVE_OK ||
      ::archive_write_open_fd(tar.get(), out_fd) != ARCHIVE_OK) {
    return failed();
  }
  for (const Entry& entry : entries) {
    const auto header = HeaderOf(entry);
    if (!header || ::archive_write_header(tar.get(), header.get()) != ARCHIVE_OK) return failed();
  }
  return ::archive_write_close(tar.get()) == ARCHIVE_OK ? Status() : failed();
}

}  // namespace

Result<bool> PackSimpleTree(int dir_fd, int out_fd) {
  SimpleTree tree;
  CRYOPOD_ASSIGN_OR_RETURN(const bool simple, tree.Collect(dir_fd));
  if (!simple) return false;
  CRYOPOD_RETURN_IF_ERROR(WriteEntries(tree.entries(), out_fd).While("writing the tar"));
  return true;
}

}  // namespace cryopod::criu
