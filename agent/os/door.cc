#include "agent/os/door.h"

#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "agent/os/file.h"

namespace cryopod {
namespace {

// flock(2) knows no deadline.
constexpr std::chrono::milliseconds kPause{2};

Result<UniqueFd> Lock(const std::string& directory, int operation, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd door, OpenDirectory(directory));
  while (::flock(door.get(), operation | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoStatus(errno, "flock", directory);
    if (deadline.expired()) {
      return Status(Code::kDeadlineExceeded, "somebody else has the lock of " + directory);
    }
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(kPause, deadline.remaining()));
  }
  return door;
}

}  // namespace

Result<UniqueFd> EnterDoor(const std::string& directory, Deadline deadline) {
  return Lock(directory, LOCK_SH, deadline);
}

Result<UniqueFd> CloseDoor(const std::string& directory, Deadline deadline) {
  return Lock(directory, LOCK_EX, deadline);
}

}  // namespace cryopod
