#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/os/cgroup.h"
#include "agent/os/file.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::checkpoint {

// A faithful copy of an overlayfs upper directory in two steps: as much as possible while the pod
// runs, and, while it is frozen, only what changed since.
//
// A file is taken again when its inode, size or ctime is another, when its ctime was so recent at
// the first look that a later change could bear the same time, and when a process had it mapped
// shared and writable before the first look or has it in the freeze: a store into a page that was
// dirty already moves no time. Whiteouts, opaque marks, hard links, owners, modes, times and xattrs
// are kept; sockets are left out, because a bound name comes back with its process.
//
// Source   kernel Documentation/filesystems/overlayfs.rst ("whiteouts and opaque directories").
// Threads  one thread at a time; different copies are independent.
class UpperCopy {
 public:
  // Both directories are borrowed for the life of the copy. `into_dir_fd` is empty. Every change
  // from now on is a recent one, so make the object before the mappings are read for CopyAhead.
  UpperCopy(int upper_dir_fd, int into_dir_fd);

  // The pod may run. What vanishes or changes meanwhile is no error. `mapped_paths`: files of this
  // layer, relative to it, that some process has mapped shared and writable.
  Status CopyAhead(
      const std::set<std::string>& mapped_paths, const GoOn& go_on = [] { return Status(); });
  // The pod is frozen; once, after CopyAhead or without it. `mapped_paths` as above, read in the
  // freeze.
  // Errors: kUnimplemented for trusted.overlay.redirect and metacopy, kFailedPrecondition for a
  // device node, names the path; kFailedPrecondition for more entries than a restore accepts.
  Status Finish(
      const std::set<std::string>& mapped_paths, const GoOn& go_on = [] { return Status(); });

  uint64_t bytes() const { return bytes_; }  // of the files of the final copy
  uint64_t bytes_copied_frozen() const { return bytes_frozen_; }

 private:
  struct Seen {
    ino_t inode = 0;
    int64_t ctime_ns = 0;
    int64_t size_bytes = 0;
    mode_t mode = 0;
    bool recent = false;  // or may change without a time that moves
    bool operator==(const Seen&) const = default;
  };
  struct Pass {
    bool frozen;
    const std::set<std::string>* mapped;
    const GoOn* go_on;
    std::map<std::string, Seen> seen;  // path → what stands there now
    std::map<std::pair<dev_t, ino_t>, std::string>
        links;  // first path of a file with several names
  };

  struct Entry;

  Status WalkDirectory(int from_fd, int into_fd, const std::string& prefix, Pass& pass);
  Status TakeEntry(const Entry& entry, Pass& pass);
  Status TakeDirectory(const Entry& entry, Pass& pass);
  Status MakeRoom(const Entry& entry, const Seen& now);
  Status RemoveVanished(const Pass& pass);
  bool IsUnchanged(const std::string& path, const Seen& now, const Pass& pass) const;

  int upper_fd_;
  int into_fd_;
  int64_t began_ns_;
  std::map<std::string, Seen> ahead_;
  uint64_t bytes_ = 0;
  uint64_t bytes_frozen_ = 0;
};

// Files of the container's root file system, relative to it, that some process of the cgroup has
// mapped shared and writable: it may change them by a store that moves no time.
Result<std::set<std::string>> SharedWritableFiles(const Cgroup& cgroup);

// What a writable layer comes to, as UpperCopy would copy it: sockets are left out, a file with
// several names counts once.
struct TreeSize {
  // That the copy takes in a staging area: whole pages of data, no holes, and of the kernel's
  // memory what each entry costs.
  uint64_t staged_bytes = 0;
  uint64_t entries = 0;
  // Relative paths of device nodes that are no whiteouts, the first kDeviceNodesMax of them.
  std::vector<std::string> device_nodes;
};

inline constexpr size_t kDeviceNodesMax = 8;

// In one walk. What vanishes meanwhile is passed over. Errors: kNotFound.
Result<TreeSize> MeasureTree(const std::string& path);

}  // namespace cryopod::checkpoint
