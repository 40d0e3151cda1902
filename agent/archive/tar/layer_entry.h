#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::archive {

// One entry of a writable layer, validated: a relative path without "." or "..", at most 4,096
// bytes, components at most 255.
struct LayerEntry {
  enum class Kind {
    kFile,
    kDirectory,
    kSymlink,
    kHardlink,
    kFifo,
    kCharDevice,
    kBlockDevice,
    kWhiteout,  // `path` is removed from the layers below
    kOpaque,    // so is everything beneath the directory `path`
  };
  Kind kind = Kind::kFile;
  std::string path;
  // Symlink: any text; hard link: a path like `path`, of an earlier file.
  std::string link_target = {};
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t mode = 0;  // permission bits
  int64_t mtime_ns = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  uint64_t size_bytes = 0;  // of a file; its bytes follow
  std::vector<std::pair<std::string, std::string>> xattrs = {};

  bool operator==(const LayerEntry&) const = default;
};

// Receives bytes in order. An error stops whoever produces them and is returned by it.
using ByteSink = std::function<Status(std::string_view bytes)>;

// S_IFREG for what is marked by a name alone, as a tar has it; nullopt for a type of no entry.
mode_t FileTypeOf(LayerEntry::Kind kind);
std::optional<LayerEntry::Kind> KindOf(mode_t mode);

// Entries of one writable layer. Who writes an archive keeps to it like who reads one.
inline constexpr uint64_t kLayerEntriesMax = 1'000'000;
// The same of the files of PackFiles.
inline constexpr uint64_t kPlainFilesMax = 200'000;

struct UnpackLimits {
  uint64_t bytes_max = uint64_t{1} << 40;  // of everything written or emitted
  uint64_t entries_max = kLayerEntriesMax;
};

inline constexpr size_t kPathBytesMax = 4096;
inline constexpr size_t kComponentBytesMax = 255;
inline constexpr size_t kXattrsMax = 128;
inline constexpr size_t kXattrNameBytesMax = 255;      // XATTR_NAME_MAX
inline constexpr size_t kXattrValueBytesMax = 65'536;  // XATTR_SIZE_MAX
inline constexpr size_t kXattrsBytesMax = size_t{512} << 10;

// Errors: kDataLoss, names the path (escaped) and what is wrong with it.
Status CheckRelativePath(std::string_view path);
// The name of a file of PackFiles: one component that does not start with '.'.
Status CheckFileName(std::string_view name);
// The entry by itself: path, link, numbers, xattrs.
Status CheckLayerEntry(const LayerEntry& entry);

// Why a layer with a device node is neither written nor applied: a container gets its devices from
// the live pod, never from an archive. Errors: kFailedPrecondition.
Status RefuseDeviceNode(std::string_view path);
Status RefuseTooManyEntries();

// What is known of the paths of one layer, 8 bytes and as much room each: for kLayerEntriesMax of
// them 16 MiB, and half as much again while the table grows. It keeps keyed hashes: no input can be
// made so that two of its paths meet.
class PathTable {
 public:
  enum Mark : uint64_t {
    kNamed = 1,        // by an entry
    kOpaque = 2,       // made so
    kFile = 4,         // what a hard link may point to
    kNoDirectory = 8,  // nothing may lie beneath it
  };

  PathTable();
  // By what the table knows a path.
  uint64_t Hash(std::string_view path) const;
  // The marks that it has; 0: none.
  uint64_t Find(uint64_t hash) const;
  void Add(uint64_t hash, uint64_t marks);

 private:
  // The slot of the path with this hash, or the free one where it belongs.
  size_t SlotOf(uint64_t hash) const;
  void Grow();

  std::string key_;
  // Hash and marks in one; 0: free. A power of two, more than half of it free.
  std::vector<uint64_t> slots_;
  size_t used_ = 0;
};

// Checks the entries of one layer against each other and against the limits. Both sides of
// cryopod-unpack's pipe run it: neither takes the other's word.
//
// Refused, besides what CheckLayerEntry refuses: a path twice, anything beneath something that the
// layer itself made no directory, a hard link to what is no earlier file, too many, too large.
class LayerChecker {
 public:
  enum class Accept {
    kLayer,
    kPlainFiles,  // only files with names that CheckFileName accepts
  };
  explicit LayerChecker(UnpackLimits limits, Accept accept = Accept::kLayer)
      : limits_(limits), accept_(accept) {}
  // Errors: kDataLoss; kResourceExhausted (limits).
  Status Check(const LayerEntry& entry);

 private:
  Status CheckAncestors(const LayerEntry& entry) const;

  UnpackLimits limits_;
  Accept accept_;
  uint64_t entries_ = 0;
  uint64_t bytes_ = 0;
  PathTable paths_;
};

}  // namespace cryopod::archive
