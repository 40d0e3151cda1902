#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/archive/store/archive_store.h"
#include "agent/os/status.h"

namespace cryopod::archive {

// Called with the number of source bytes that went by since the last call; an error ends the work.
using ByteProgress = std::function<Status(uint64_t bytes)>;

// An archive while it is written: invisible until Commit. Destroyed without Commit, it leaves
// nothing.
//
// Threads  PackFiles and PackOverlayUpper may run at once on several threads, the rest may not.
class ArchiveWriter {
 public:
  ArchiveWriter(ArchiveWriter&&) noexcept;
  ArchiveWriter& operator=(ArchiveWriter&&) noexcept;
  ~ArchiveWriter();

  // The files of `dir_fd` as one zstd-compressed tar blob: sorted, owner 0, mode 0600, no times.
  // Bounded memory. Anything that is not a regular file, and any name that starts with '.', is
  // refused rather than left out.
  // Errors: kInvalidArgument (names the entry), kResourceExhausted (disk full, names the archive),
  // kDataLoss (a file shrank while it was read).
  Result<Descriptor> PackFiles(int dir_fd, const std::string& media_type,
                               const ByteProgress& progress);
  // The same from memory: name → content.
  Result<Descriptor> PackMemory(const std::map<std::string, std::string>& files,
                                const std::string& media_type);
  // A copy of an overlayfs upper directory as an OCI layer: a 0:0 character device becomes a
  // ".wh." entry, an opaque directory gets ".wh..wh..opq", hard links stay links, owners, modes,
  // times and xattrs other than trusted.overlay.* are kept; sockets are left out. A descriptor with
  // an empty digest when there is nothing in it.
  // Source: kernel Documentation/filesystems/overlayfs.rst; OCI image-spec v1.1 layer.md.
  // Errors: kUnimplemented for trusted.overlay.redirect and metacopy, names the path.
  Result<Descriptor> PackOverlayUpper(int dir_fd, const ByteProgress& progress);

  // Config blobs, manifests, the pod's index, index.json last; read back, everything synced, then
  // renamed into the store and the store synced: durable when this returns. `containers` are those
  // of the checkpoint, in any order. Blobs that were packed and are named by none of them, such as
  // those of a capture that was discarded, are removed.
  // Errors: kInvalidArgument, kAlreadyExists, kResourceExhausted (names the archive).
  Result<Archive> Commit(const PodCheckpoint& checkpoint, const Descriptor& pod_metadata,
                         const std::vector<ContainerParts>& containers) &&;

 private:
  friend class ArchiveStore;
  struct State;
  explicit ArchiveWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cryopod::archive
