#pragma once

#include <string>

#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

// A directory as a door: many may be in it at once, and one may close it while nobody is. It is a
// lock of the directory itself, so there is no file to make or to remove, and whoever ends, however
// that happens, has left the door or has opened it.
//
// Source   flock(2): the lock belongs to the open file, and is kept until the last copy of the
//          descriptor is closed, also across exec(2).
// Threads  any.
namespace cryopod {

// Goes in, and is in as long as the descriptor is open. Errors: kDeadlineExceeded (it was closed
// all that time), those of OpenDirectory.
Result<UniqueFd> EnterDoor(const std::string& directory, Deadline deadline);

// Closes it as long as the descriptor is open. Errors: kDeadlineExceeded (somebody was in it all
// that time), those of OpenDirectory.
Result<UniqueFd> CloseDoor(const std::string& directory, Deadline deadline);

}  // namespace cryopod
