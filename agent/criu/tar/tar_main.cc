// tar, for CRIU alone: first in its PATH while it dumps. It makes the archive of a simple tmpfs
// itself, such as a container's /dev; for all else, also for arguments that it does not know, it
// becomes the tar that comes later in the PATH, GNU tar. That makes the same of a simple tree, but
// through two more programs, which takes some 15 ms inside every freeze.
//
// Source  CRIU criu/filesystems.c (tmpfs_dump); GNU tar's format of old (gnu).
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/criu/images/tmpfs_tar.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::criu {
namespace {

constexpr size_t kEntriesMax = 256;
constexpr int kDepthMax = 16;
// What fits into one header of every kind of tar.
constexpr size_t kNameBytesMax = 99;

struct FreeArchive {
  void operator()(::archive* archive) const { ::archive_write_free(archive); }
};
struct FreeHeader {
  void operator()(::archive_entry* header) const { ::archive_entry_free(header); }
};
using Header = std::unique_ptr<::archive_entry, FreeHeader>;

Status OutOfMemory() { return Status(Code::kResourceExhausted, "libarchive: out of memory"); }

// Collects the tree as long as it is simple.
class SimpleTree {
 public:
  Result<bool> Collect(int dir_fd) {
    struct stat top {};
    if (::fstat(dir_fd, &top) != 0) return ErrnoStatus(errno, "fstat", "the tree");
    device_ = top.st_dev;
    CRYOPOD_RETURN_IF_ERROR(Keep("./", top, ""));
    return CollectIn(dir_fd, "./", 1);
  }
  // All that the archive has of each: no file has content.
  const std::vector<Header>& headers() const { return headers_; }

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
    std::string path = parent + name;
    std::string target;
    struct stat attributes {};
    if (::fstatat(dir_fd, name.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoStatus(errno, "fstatat", path);
    }
    const bool is_directory = S_ISDIR(attributes.st_mode);
    if (is_directory) path += '/';
    if (headers_.size() == kEntriesMax || path.size() > kNameBytesMax) return false;
    if (!is_directory && (attributes.st_nlink != 1 || S_ISSOCK(attributes.st_mode))) return false;
    if (S_ISREG(attributes.st_mode) && attributes.st_size != 0) return false;
    if (S_ISLNK(attributes.st_mode)) {
      CRYOPOD_ASSIGN_OR_RETURN(target, ReadLinkAt(dir_fd, name).While(path));
      if (target.size() > kNameBytesMax) return false;
    }
    CRYOPOD_RETURN_IF_ERROR(Keep(path, attributes, target));
    if (!is_directory || attributes.st_dev != device_) return true;
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd below,
                             OpenAt(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    return CollectIn(below.get(), path, depth + 1);
  }

  Status Keep(const std::string& path, const struct stat& attributes, const std::string& target) {
    Header header(::archive_entry_new());
    if (!header) return OutOfMemory();
    ::archive_entry_copy_stat(header.get(), &attributes);
    ::archive_entry_set_size(header.get(), 0);
    ::archive_entry_set_pathname(header.get(), path.c_str());
    if (!target.empty()) ::archive_entry_set_symlink(header.get(), target.c_str());
    headers_.push_back(std::move(header));
    return Status();
  }

  dev_t device_ = 0;
  std::vector<Header> headers_;
};

Status WriteArchive(const std::vector<Header>& headers, int out_fd) {
  const std::unique_ptr<::archive, FreeArchive> tar(::archive_write_new());
  if (!tar) return OutOfMemory();
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
  for (const Header& header : headers) {
    if (::archive_write_header(tar.get(), header.get()) != ARCHIVE_OK) return failed();
  }
  return ::archive_write_close(tar.get()) == ARCHIVE_OK ? Status() : failed();
}

// Writes the tree of `dir_fd` to `out_fd`, gzipped, and returns true; returns false, and has
// written nothing, when there is anything but directories, symlinks, devices, FIFOs and empty
// files, or too much: that is GNU tar's work. A directory where another file system is mounted
// stays empty.
Result<bool> PackSimpleTree(int dir_fd, int out_fd) {
  SimpleTree tree;
  CRYOPOD_ASSIGN_OR_RETURN(const bool simple, tree.Collect(dir_fd));
  if (!simple) return false;
  CRYOPOD_RETURN_IF_ERROR(WriteArchive(tree.headers(), out_fd).While("writing the tar"));
  return true;
}

// As CRIU gives them; the directory follows, then ".".
constexpr std::string_view kArguments[] = {
    "--create",          "--gzip",        "--no-unquote",           "--no-wildcards",
    "--one-file-system", "--check-links", "--preserve-permissions", "--sparse",
    "--numeric-owner",   "--directory"};
constexpr int kKnown = sizeof kArguments / sizeof kArguments[0];

bool IsDumpOfTmpfs(int argc, char** argv) {
  if (argc != 1 + kKnown + 2 || std::string_view(argv[argc - 1]) != ".") return false;
  for (int i = 0; i < kKnown; ++i) {
    if (argv[1 + i] != kArguments[i]) return false;
  }
  return true;
}

// Returns when there is no other tar.
void BecomeTheNextTar(char** argv) {
  const char* const directories = ::getenv("PATH");
  for (const std::string_view directory :
       Split(directories != nullptr ? directories : "/usr/bin:/bin", ':')) {
    const std::string program = std::string(directory) + "/tar";
    if (!IsSameFile(program, "/proc/self/exe")) ::execv(program.c_str(), argv);
  }
}

// A restore reads GNU tar's own format alone, and so many entries; that of a tar may be another.
Status PrepareForGnuTar(int dir_fd) {
  struct statfs facts {};
  if (::fstatfs(dir_fd, &facts) != 0) return ErrnoStatus(errno, "fstatfs", "the tree");
  // One without a limit of its files counts none.
  if (facts.f_type == TMPFS_MAGIC && facts.f_files - facts.f_ffree > kTmpfsEntriesMax) {
    return Status(Code::kFailedPrecondition, "a tmpfs holds more than " +
                                                 std::to_string(kTmpfsEntriesMax) +
                                                 " files, which no restore accepts");
  }
  if (::setenv("TAR_OPTIONS", "--format=gnu", 1) == 0) return Status();
  return ErrnoStatus(errno, "setenv", "TAR_OPTIONS");
}

Result<bool> Pack(int dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const bool packed, PackSimpleTree(dir_fd, STDOUT_FILENO));
  if (!packed) CRYOPOD_RETURN_IF_ERROR(PrepareForGnuTar(dir_fd));
  return packed;
}

int Run(int argc, char** argv) {
  if (IsDumpOfTmpfs(argc, argv)) {
    const Result<UniqueFd> dir = OpenDirectory(argv[1 + kKnown]);
    const Result<bool> packed = dir.ok() ? Pack(dir->get()) : dir.status();
    if (packed.ok() && *packed) return 0;
    // Something may have been written already.
    if (!packed.ok()) {
      std::fprintf(stderr, "tar: %s\n", packed.status().message().c_str());
      return 2;
    }
  }
  BecomeTheNextTar(argv);
  std::fprintf(stderr, "tar: no other tar in PATH\n");
  return 127;
}

}  // namespace
}  // namespace cryopod::criu

int main(int argc, char** argv) { return cryopod::criu::Run(argc, argv); }
