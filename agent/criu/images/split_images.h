#pragma once

#include <cstdint>

#include "agent/os/status.h"

namespace cryopod::criu {

// A first touch of a page by its process, or by CRIU on its behalf, costs several times what a copy
// from outside does; but that is a call a run, and something to be checked. So it is done to what
// is worth it: runs of 64 KiB and more, in processes that have 1 MiB of them.
inline constexpr uint64_t kRunPagesMin = 16;
inline constexpr uint64_t kProcessBytesMin = uint64_t{1} << 20;

// Takes big private memory out of one container's unpacked CRIU images, so that CRIU maps it and
// leaves it empty, and lists it (agent/criu/images/fill_list.h):
//
//   cryopod-fill         the list; absent when nothing was taken out
//   cryopod-pages-<n>    what was pages-<n>.img, not copied; what CRIU still reads is a hole
//   pages-<n>.img        what CRIU still reads
//   pagemap-<pid>.img    where that belongs
//
// Taken out are runs in anonymous private areas that can be written and are neither a stack that
// grows, locked, of huge pages nor special, without pages that the kernel writes to itself; of a
// process whose memory lies there for the greater part, the rest being copied. Not taken out: an
// area that a parent or child has at the same place. CRIU finds out what the two share
// copy-on-write.
//
// Hostile input. Images that do not parse, or in ways that are not known here, stay as they are:
// CRIU says what is wrong with them. After an error the images are of no use.
//
// Source  CRIU 4.2, criu/mem.c (premap_priv_vmas, check_cow_vmas), pie/restorer.c, cr-restore.c.
// Errors  kDataLoss (a file with a name that is ours, fewer pages than there should be); those of
//         files.
Status SplitImages(int images_dir_fd);

}  // namespace cryopod::criu
