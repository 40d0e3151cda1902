#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "agent/os/status.h"

namespace cryopod::criu {

// An entry of a tmpfs as it was dumped. Its name is relative, without "." or "..": "" is the top.
struct TmpfsEntry {
  enum class Kind { kFile, kHardlink, kSymlink, kCharDevice, kBlockDevice, kDirectory, kFifo };
  Kind kind = Kind::kFile;
  std::string path;
  std::string target;  // of a hard link a path such as `path`, of a symlink any text
  uint32_t mode = 0;   // permission bits
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t major = 0;  // of a device
  uint32_t minor = 0;
};

// Entries of one tmpfs. Who writes an image keeps to it like who reads one.
inline constexpr uint64_t kTmpfsEntriesMax = 1'000'000;

// Reads the image of a tmpfs of CRIU, a gzipped tar, and calls `judge` for each entry; content is
// decompressed and passed over. In memory stands some half MiB whatever the image's size.
//
// It takes only what GNU tar's own format has and CRIU's arguments give: other readers' idea of the
// rest need not be that of the tar which CRIU calls later, and what one passes over another may
// take for an entry. So there are no pax headers, with the extended attributes that only they have,
// no names of owners, which tar would look up on the node, one gzip member, and nothing behind the
// end. Directories come before what is in them, and all of that before the next one.
//
// Hostile input.
// Source  GNU tar 1.34, "Basic Tar Format" and "GNU Extensions to the Archive Format" of its
//         manual; RFC 1952; CRIU 4.2, criu/filesystems.c (tmpfs_dump, tmpfs_restore).
// Errors  kDataLoss (no such image, names it and the entry); those of `judge` and of files.
Status ReadTmpfsTar(int images_dir_fd, const std::string& image,
                    const std::function<Status(const TmpfsEntry&)>& judge,
                    uint64_t entries_max = kTmpfsEntriesMax);

}  // namespace cryopod::criu
