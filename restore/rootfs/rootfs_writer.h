#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "agent/archive/tar/layer_entry.h"
#include "agent/archive/unpack/unpack.h"
#include "agent/os/status.h"

namespace cryopod::restore {

// Applies the entries of a writable layer to a container's mounted root file system. Entries are a
// stranger's: nothing outside the root is ever named, symlinks are never followed, no mount is
// crossed, and no device is made.
//
// A whiteout removes, an opaque directory is emptied: it is the mounted root that is written, never
// an upper directory. Owners, modes, xattrs (user.*, security.capability, POSIX ACLs), times and
// hard links are kept; labels come from the live container.
class RootfsWriter : public archive::LayerSink {
 public:
  // `root_fd` is borrowed.
  explicit RootfsWriter(int root_fd) : root_fd_(root_fd) {}

  // Errors: kDataLoss (the entry contradicts the file system, names it), kFailedPrecondition (a
  // device), and those of the system calls.
  Status Apply(const archive::LayerEntry& entry, const Content& content) override;

  // Gives the directories their times, which their entries' creation has changed since.
  Status Finish();

 private:
  Status ApplyHere(const archive::LayerEntry& entry, const Content& content);

  int root_fd_;
  std::vector<std::pair<std::string, int64_t>> directory_times_ns_;
};

}  // namespace cryopod::restore
