#pragma once

#include <vector>

#include "agent/criu/remade_mounts.h"
#include "agent/os/status.h"

namespace cryopod::criu {

// Rewrites the CRIU images of one container for a pod whose `mounts` were made anew, and nothing
// that does not lead into one of them:
//
//   files.img          files and directories: no size, no checksum; a name through a directory
//                      with a time becomes one through ..data, in inotify and fanotify watches too;
//                      a descriptor that only writes starts at the beginning of the new file
//   remap-fpath.img    a file that had been replaced while it was open is the one that stands there
//                      now: its entry goes, and what CRIU kept of the old one (an old token) is
//                      emptied
//   mountpoints-*.img  no mark "deleted", which a subPath has whose volume was published again
//
// Hostile input: limits on size, names are checked, what does not parse is refused. Doing it again
// changes nothing. After an error the images are of no use any more.
//
// Shape    as in agent/criu/images/image_file.h.
// Source   CRIU 4.2, criu/files-reg.c, fsnotify.c, mount.c, include/magic.h.
// Errors   kDataLoss (names the image); those of files.
Status RewriteImages(int images_dir_fd, const std::vector<RemadeMount>& mounts);

// Makes a timerfd with a period go on after the restore. One that had expired and not been read
// says that 0 ns are left, because Linux goes on with it only when it is read; CRIU would set it to
// 0 ns, which is to stop it (checkpoint-restore/criu issue 3162). It gets 1 ns; the expirations
// that are due stay. Nothing else is touched, and doing it again changes nothing. For images of our
// own dump.
//
// Errors   kDataLoss (names the image); those of files.
Status MendTimers(int images_dir_fd);

}  // namespace cryopod::criu
