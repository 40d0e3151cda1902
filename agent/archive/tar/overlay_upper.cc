#include "agent/archive/tar/overlay_upper.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"
#include "agent/os/xattrs.h"

namespace cryopod::archive {
namespace {

using Kind = LayerEntry::Kind;

// The name behind "trusted.overlay." or "user.overlay."; empty for any other xattr.
std::string_view OverlayXattr(std::string_view name) {
  for (const std::string_view prefix : {"trusted.overlay.", "user.overlay."}) {
    if (name.starts_with(prefix)) return name.substr(prefix.size());
  }
  return {};
}

// What overlayfs's own xattrs say about an entry; they are taken out of `xattrs`.
struct OverlayMarks {
  bool opaque = false;
  bool whiteout = false;
};
Result<OverlayMarks> TakeOverlayMarks(const std::string& path, Xattrs* xattrs) {
  OverlayMarks marks;
  for (const auto& [name, value] : *xattrs) {
    const std::string_view mark = OverlayXattr(name);
    if (mark == "opaque" && value == "y") marks.opaque = true;
    if (mark == "whiteout") marks.whiteout = true;
    if (mark == "redirect" || mark == "metacopy") {
      return Status(Code::kUnimplemented,
                    "\"" + JsonEscape(path) + "\" carries overlayfs's " + std::string(mark) +
                        ": its content is in a layer below; mount without redirect_dir and "
                        "metacopy to checkpoint it");
    }
  }
  std::erase_if(*xattrs, [](const auto& xattr) { return !OverlayXattr(xattr.first).empty(); });
  return marks;
}

class Walk {
 public:
  Walk(int dir_fd, const UpperSink& sink) : dir_fd_(dir_fd), sink_(sink) {}

  Status Run() {
    CRYOPOD_RETURN_IF_ERROR(PushChildren(""));
    while (!pending_.empty()) {
      const std::string path = std::move(pending_.back());
      pending_.pop_back();
      CRYOPOD_RETURN_IF_ERROR(Visit(path).While("writable layer"));
    }
    return Status();
  }

 private:
  // Onto the stack in reverse, so that the first name is visited first.
  Status PushChildren(const std::string& path) {
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd dir, OpenBeneath(dir_fd_, path.empty() ? "." : path,
                                                             O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> children, ListDirectory(dir.get()));
    for (auto child = children.rbegin(); child != children.rend(); ++child) {
      pending_.push_back(path.empty() ? child->name : path + "/" + child->name);
    }
    return Status();
  }

  Status Emit(const LayerEntry& entry, int file_fd = -1) {
    if (entry.kind == Kind::kCharDevice || entry.kind == Kind::kBlockDevice) {
      return RefuseDeviceNode(entry.path);
    }
    if (++entries_ > kLayerEntriesMax) return RefuseTooManyEntries();
    CRYOPOD_RETURN_IF_ERROR(checker_.Check(entry));
    return sink_(entry, file_fd);
  }

  Status Visit(const std::string& path) {
    struct stat attributes {};
    if (::fstatat(dir_fd_, path.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoStatus(errno, "fstatat", path);
    }
    if (S_ISSOCK(attributes.st_mode)) return Status();  // nobody listens on it any more
    if (S_ISCHR(attributes.st_mode) && attributes.st_rdev == 0) {
      return Emit({.kind = Kind::kWhiteout, .path = path});
    }
    if (path.starts_with(".wh.") || path.find("/.wh.") != std::string::npos) {
      return Status(Code::kUnimplemented,
                    "\"" + JsonEscape(path) + "\": an OCI layer keeps names with .wh. for itself");
    }
    LayerEntry entry;
    CRYOPOD_ASSIGN_OR_RETURN(entry.xattrs, ReadXattrs(DescriptorPath(dir_fd_, path), path));
    CRYOPOD_ASSIGN_OR_RETURN(const OverlayMarks marks, TakeOverlayMarks(path, &entry.xattrs));
    if (marks.whiteout && S_ISREG(attributes.st_mode) && attributes.st_size == 0) {
      return Emit({.kind = Kind::kWhiteout, .path = path});
    }
    entry.kind = KindOf(attributes.st_mode).value_or(Kind::kFile);
    entry.path = path;
    entry.uid = attributes.st_uid;
    entry.gid = attributes.st_gid;
    entry.mode = attributes.st_mode & 07777;
    entry.mtime_ns =
        int64_t{attributes.st_mtim.tv_sec} * 1'000'000'000 + int64_t{attributes.st_mtim.tv_nsec};
    if (S_ISDIR(attributes.st_mode)) return VisitDirectory(entry, marks.opaque);
    if (S_ISREG(attributes.st_mode)) return VisitFile(attributes, &entry);
    if (S_ISLNK(attributes.st_mode)) {
      CRYOPOD_ASSIGN_OR_RETURN(entry.link_target, ReadLinkAt(dir_fd_, path));
      entry.mode = 0777;
    }
    return Emit(entry);
  }

  Status VisitDirectory(const LayerEntry& entry, bool opaque) {
    CRYOPOD_RETURN_IF_ERROR(Emit(entry));
    if (opaque) CRYOPOD_RETURN_IF_ERROR(Emit({.kind = Kind::kOpaque, .path = entry.path}));
    return PushChildren(entry.path);
  }

  Status VisitFile(const struct stat& attributes, LayerEntry* entry) {
    if (attributes.st_nlink > 1) {
      const auto [first, is_new] =
          links_.try_emplace({attributes.st_dev, attributes.st_ino}, entry->path);
      if (!is_new) {
        entry->kind = Kind::kHardlink;
        entry->link_target = first->second;
        entry->xattrs.clear();
        return Emit(*entry);
      }
    }
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd file,
                             OpenBeneath(dir_fd_, entry->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    entry->size_bytes = static_cast<uint64_t>(attributes.st_size);
    return Emit(*entry, file.get());
  }

  const int dir_fd_;
  const UpperSink& sink_;
  std::vector<std::string> pending_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
  LayerChecker checker_{UnpackLimits()};
  uint64_t entries_ = 0;
};

}  // namespace

Status WalkOverlayUpper(int dir_fd, const UpperSink& sink) { return Walk(dir_fd, sink).Run(); }

}  // namespace cryopod::archive
