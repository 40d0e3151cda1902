#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::archive {

// Front of cryopod-unpack, the process that parses what strangers wrote. Each call starts one such
// process, hands it descriptors and a deadline, and returns when it has ended. The process gets an
// empty environment, rlimits (address space, file size, CPU, no new processes) and nothing but the
// descriptors named here.
//
// Threads  any.

struct UnpackLimits {
  uint64_t bytes_max = uint64_t{1} << 40;  // of everything written or emitted
  uint64_t entries_max = 1'000'000;
};

// A blob of PackFiles (zstd tar of plain files) into the empty directory `into_dir_fd`, files 0600.
// Refused: any entry that is not a regular file, a name that holds '/' or starts with '.', a name
// twice, more than the limits. Errors: kDataLoss, names the entry.
Status UnpackFiles(const std::string& unpack_program, int blob_fd, int into_dir_fd,
                   const UnpackLimits& limits, Deadline deadline);

// An oci-archive tar (`docker save`-like layout tar: oci-layout, index.json, blobs/sha256/<hex>)
// into the empty directory `into_dir_fd`: only these names, only regular files, each blob hashed
// against its name on the way.
Status UnpackLayout(const std::string& unpack_program, int tar_fd, int into_dir_fd,
                    const UnpackLimits& limits, Deadline deadline);

// One entry of a writable layer, validated: a relative path without "." or "..", at most 4,096
// bytes, components at most 255.
struct LayerEntry {
  enum class Kind { kFile, kDirectory, kSymlink, kHardlink, kFifo, kCharDevice, kBlockDevice,
                    kWhiteout, kOpaque };
  Kind kind = Kind::kFile;
  std::string path;
  std::string link_target;  // symlink: any text; hard link: a path like `path`
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t mode = 0;        // permission bits
  int64_t mtime_ns = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  uint64_t size_bytes = 0;  // of a file; its bytes follow
  std::vector<std::pair<std::string, std::string>> xattrs;
};

// Called in the caller's process, entry after entry. For a file, `content` gives its bytes: exactly
// entry.size_bytes must be read from it, at most `size` at a time, 0 at the end.
class LayerSink {
 public:
  virtual ~LayerSink() = default;
  using Content = std::function<Result<size_t>(char* buffer, size_t size)>;
  virtual Status Apply(const LayerEntry& entry, const Content& content) = 0;
};
Status UnpackLayer(const std::string& unpack_program, int blob_fd, LayerSink& sink,
                   const UnpackLimits& limits, Deadline deadline);

}  // namespace cryopod::archive
