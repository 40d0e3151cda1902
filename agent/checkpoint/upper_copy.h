#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

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
  Status CopyAhead(const std::set<std::string>& mapped_paths);
  // The pod is frozen; once, after CopyAhead or without it. `mapped_paths` as above, read in the
  // freeze.
  // Errors: kUnimplemented for trusted.overlay.redirect and metacopy, kFailedPrecondition for a
  // device node, names the path; kFailedPrecondition for more entries than a restore accepts.
  Status Finish(const std::set<std::string>& mapped_paths);

  uint64_t bytes() const { return bytes_; }  // of the files of the final copy
  uint64_t bytes_copied_frozen() const { return bytes_frozen_; }

 private:
  struct Seen {
    ino_t inode = 0;
    int64_t ctime_ns = 0;
    int64_t size_bytes = 0;
    mode_t mode = 0;
    bool recent = false;
    bool operator==(const Seen&) const = default;
  };
  struct Pass {
    bool frozen;
    const std::set<std::string>* mapped;
    std::map<std::string, Seen> seen;  // path → what stands there now
    std::map<std::pair<dev_t, ino_t>, std::string>
        links;  // first path of a file with several names
  };

  Status WalkDirectory(int from_fd, int into_fd, const std::string& prefix, Pass& pass);
  Status TakeEntry(int from_fd, int into_fd, const std::string& name, const std::string& path,
                   Pass& pass);
  Status TakeDirectory(int from_fd, int into_fd, const std::string& name, const std::string& path,
                       Pass& pass);
  Status MakeRoom(int into_fd, const std::string& name, const std::string& path, const Seen& now);
  Status RemoveVanished(const Pass& pass);
  bool IsUnchanged(const std::string& path, const Seen& now, const Pass& pass) const;

  int upper_fd_;
  int into_fd_;
  int64_t began_ns_;
  std::map<std::string, Seen> ahead_;
  uint64_t bytes_ = 0;
  uint64_t bytes_frozen_ = 0;
};

}  // namespace cryopod::checkpoint
