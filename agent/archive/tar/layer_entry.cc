#include "agent/archive/tar/layer_entry.h"

#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <utility>

#include "agent/archive/oci/sha256.h"
#include "agent/os/log.h"
#include "agent/os/text.h"

namespace cryopod::archive {
namespace {

using Kind = LayerEntry::Kind;

constexpr uint32_t kNoId = UINT32_MAX;  // (uid_t)-1 means "leave it" to chown(2)
constexpr uint32_t kModeMask = 07777;
constexpr uint32_t kDeviceMajorMax = (1u << 12) - 1;  // Linux's dev_t
constexpr uint32_t kDeviceMinorMax = (1u << 20) - 1;

constexpr std::array<std::pair<Kind, mode_t>, 6> kFileTypes = {{
    {Kind::kFile, S_IFREG},
    {Kind::kDirectory, S_IFDIR},
    {Kind::kSymlink, S_IFLNK},
    {Kind::kFifo, S_IFIFO},
    {Kind::kCharDevice, S_IFCHR},
    {Kind::kBlockDevice, S_IFBLK},
}};

Status Refuse(std::string_view path, const std::string& why) {
  return Status(Code::kDataLoss, "entry \"" + JsonEscape(path.substr(0, 300)) + "\" " + why);
}

Status CheckLink(const LayerEntry& entry) {
  if (entry.kind == Kind::kHardlink) {
    return CheckRelativePath(entry.link_target)
        .While("hard link \"" + JsonEscape(entry.path) + "\"");
  }
  if (entry.kind != Kind::kSymlink) {
    return entry.link_target.empty() ? Status() : Refuse(entry.path, "has a link target");
  }
  if (entry.link_target.empty() || entry.link_target.size() >= kPathBytesMax) {
    return Refuse(entry.path, "is a symlink to nothing or to more than 4,095 bytes");
  }
  if (entry.link_target.find('\0') != std::string::npos) {
    return Refuse(entry.path, "is a symlink with a NUL in it");
  }
  return Status();
}

bool IsXattrName(std::string_view name) {
  if (name.empty() || name.size() > kXattrNameBytesMax) return false;
  if (name.find('\0') != std::string_view::npos) return false;
  const size_t dot = name.find('.');
  return dot != std::string_view::npos && dot > 0 && dot + 1 < name.size();
}

Status CheckXattrs(const LayerEntry& entry) {
  if (entry.xattrs.size() > kXattrsMax) return Refuse(entry.path, "has more than 128 xattrs");
  size_t bytes = 0;
  for (const auto& [name, value] : entry.xattrs) {
    bytes += name.size() + value.size();
    if (!IsXattrName(name)) return Refuse(entry.path, "has an xattr whose name is none");
    // Set on a file, these tell overlayfs to hide, move or redirect it.
    if (name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.")) {
      return Refuse(entry.path, "has an xattr of overlayfs");
    }
    if (value.size() > kXattrValueBytesMax || bytes > kXattrsBytesMax) {
      return Refuse(entry.path, "has xattrs that are too large");
    }
  }
  return Status();
}

// What a path takes of its slot beside its hash.
constexpr unsigned kMarkBits = 4;
constexpr uint64_t kMarks = (1u << kMarkBits) - 1;
constexpr size_t kSlotsMin = 1024;

uint64_t MarksOf(Kind kind) {
  uint64_t marks = PathTable::kNamed;
  if (kind == Kind::kFile || kind == Kind::kHardlink) marks |= PathTable::kFile;
  if (kind != Kind::kDirectory) marks |= PathTable::kNoDirectory;
  return marks;
}

}  // namespace

mode_t FileTypeOf(Kind kind) {
  for (const auto& [known, type] : kFileTypes) {
    if (known == kind) return type;
  }
  return S_IFREG;
}

std::optional<Kind> KindOf(mode_t mode) {
  for (const auto& [kind, type] : kFileTypes) {
    if (type == (mode & S_IFMT)) return kind;
  }
  return std::nullopt;
}

Status CheckRelativePath(std::string_view path) {
  if (path.empty()) return Refuse(path, "has no name");
  if (path.size() > kPathBytesMax) return Refuse(path, "is longer than 4,096 bytes");
  if (path.find('\0') != std::string_view::npos) return Refuse(path, "has a NUL in its name");
  for (const std::string_view component : Split(path, '/')) {
    if (component.empty()) return Refuse(path, "has an empty component");
    if (component == "." || component == "..") {
      return Refuse(path, "has the component \"" + std::string(component) + "\"");
    }
    if (component.size() > kComponentBytesMax) {
      return Refuse(path, "has a component longer than 255 bytes");
    }
  }
  return Status();
}

Status CheckFileName(std::string_view name) {
  CRYOPOD_RETURN_IF_ERROR(CheckRelativePath(name));
  if (name.find('/') != std::string_view::npos) return Refuse(name, "is not a plain name");
  if (name.starts_with('.')) return Refuse(name, "starts with '.'");
  return Status();
}

Status CheckLayerEntry(const LayerEntry& entry) {
  CRYOPOD_RETURN_IF_ERROR(CheckRelativePath(entry.path));
  if (entry.path.starts_with(".wh.") || entry.path.find("/.wh.") != std::string::npos) {
    return Refuse(entry.path, "has a name that is kept for whiteouts");
  }
  CRYOPOD_RETURN_IF_ERROR(CheckLink(entry));
  if (entry.uid == kNoId || entry.gid == kNoId) return Refuse(entry.path, "has an owner of -1");
  if ((entry.mode & ~kModeMask) != 0) return Refuse(entry.path, "has mode bits beyond 07777");
  if (entry.device_major > kDeviceMajorMax || entry.device_minor > kDeviceMinorMax) {
    return Refuse(entry.path, "has a device number that Linux does not know");
  }
  if (entry.kind == Kind::kCharDevice && entry.device_major == 0 && entry.device_minor == 0) {
    return Refuse(entry.path, "is overlayfs's own mark of a removed file");
  }
  if (entry.kind != Kind::kFile && entry.size_bytes != 0) {
    return Refuse(entry.path, "has content without being a file");
  }
  return CheckXattrs(entry);
}

Status RefuseDeviceNode(std::string_view path) {
  return Status(Code::kFailedPrecondition,
                "\"" + JsonEscape(path) +
                    "\" in the writable layer is a device node, and an archive makes no devices: "
                    "remove it, and give the device to the pod instead",
                Reason::kContentNotCarried);
}

Status RefuseTooManyEntries() {
  return Status(Code::kFailedPrecondition,
                "the writable layer has more than " + std::to_string(kLayerEntriesMax) +
                    " entries, which no restore accepts: remove some, or keep them on a volume",
                Reason::kContentNotCarried);
}

PathTable::PathTable() : key_(16, '\0') {
  // Without randomness the key is fixed: still correct, only no longer secret.
  (void)::getrandom(key_.data(), key_.size(), 0);
}

uint64_t PathTable::Hash(std::string_view path) const {
  Sha256 hash;
  hash.Update(key_);
  hash.Update(path);
  const std::string digest = hash.Finish();
  return std::stoull(digest.substr(digest.size() - 16), nullptr, 16) & ~kMarks;
}

size_t PathTable::SlotOf(uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t at = (hash >> kMarkBits) & mask;
  while (slots_[at] != 0 && (slots_[at] & ~kMarks) != hash) at = (at + 1) & mask;
  return at;
}

uint64_t PathTable::Find(uint64_t hash) const {
  return slots_.empty() ? 0 : slots_[SlotOf(hash)] & kMarks;
}

void PathTable::Add(uint64_t hash, uint64_t marks) {
  if (2 * used_ >= slots_.size()) Grow();
  uint64_t& slot = slots_[SlotOf(hash)];
  if (slot == 0) ++used_;
  slot |= hash | marks;
}

void PathTable::Grow() {
  const std::vector<uint64_t> old =
      std::exchange(slots_, std::vector<uint64_t>(std::max(kSlotsMin, 2 * slots_.size())));
  for (const uint64_t slot : old) {
    if (slot != 0) slots_[SlotOf(slot & ~kMarks)] = slot;
  }
}

Status LayerChecker::CheckAncestors(const LayerEntry& entry) const {
  for (size_t at = entry.path.find('/'); at != std::string::npos;
       at = entry.path.find('/', at + 1)) {
    const uint64_t ancestor = paths_.Hash(std::string_view(entry.path).substr(0, at));
    if ((paths_.Find(ancestor) & PathTable::kNoDirectory) != 0) {
      return Refuse(entry.path, "lies beneath something that is no directory");
    }
  }
  return Status();
}

Status LayerChecker::Check(const LayerEntry& entry) {
  if (++entries_ > limits_.entries_max) {
    return Status(Code::kResourceExhausted,
                  "more than " + std::to_string(limits_.entries_max) + " entries");
  }
  CRYOPOD_RETURN_IF_ERROR(CheckLayerEntry(entry));
  if (accept_ == Accept::kPlainFiles) {
    if (entry.kind != Kind::kFile) return Refuse(entry.path, "is not a regular file");
    CRYOPOD_RETURN_IF_ERROR(CheckFileName(entry.path));
  }
  if (entry.size_bytes > limits_.bytes_max - bytes_) {
    return Status(Code::kResourceExhausted, "entry \"" + JsonEscape(entry.path) +
                                                "\" takes it above " +
                                                std::to_string(limits_.bytes_max) + " bytes");
  }
  bytes_ += entry.size_bytes;
  CRYOPOD_RETURN_IF_ERROR(CheckAncestors(entry));
  const uint64_t path = paths_.Hash(entry.path);
  const uint64_t known = paths_.Find(path);
  if (entry.kind == Kind::kOpaque) {
    if ((known & PathTable::kNoDirectory) != 0) return Refuse(entry.path, "is no directory");
    if ((known & PathTable::kOpaque) != 0) return Refuse(entry.path, "is made opaque twice");
    paths_.Add(path, PathTable::kOpaque);
    return Status();
  }
  if ((known & PathTable::kNamed) != 0) return Refuse(entry.path, "stands twice in the layer");
  if (entry.kind == Kind::kHardlink &&
      (paths_.Find(paths_.Hash(entry.link_target)) & PathTable::kFile) == 0) {
    return Refuse(entry.path, "is a hard link to what is no earlier file of the layer");
  }
  paths_.Add(path, MarksOf(entry.kind));
  return Status();
}

}  // namespace cryopod::archive
