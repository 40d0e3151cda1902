#include <fcntl.h>

#include <chrono>

#include "agent/os/door.h"
#include "restore/runtime/wrapper.h"

namespace cryopod::wrapper {
namespace {

// Whoever closed the door may take longer: no exec fails, or is late for ever, because of it. Well
// within the two minutes that a kubelet gives to what it asks of a runtime; the time of the probe
// itself is counted from when its process runs (containerd 2.1, execInContainer).
constexpr std::chrono::seconds kDoorPatience{20};
// Above what --preserve-fds and LISTEN_FDS pass on by number.
constexpr int kFirstFreeNumber = 256;

// Until the OCI runtime ends. A detached exec ends once its process is in the container's cgroup
// and runs its own program, so that whoever closes the door then finds it there or not at all; that
// process itself does not inherit it. Source: runc 1.1.12 to 1.3.6, setnsProcess.start and
// utils.CloseExecFrom.
void StayInUntilItEnds(const UniqueFd& door) {
  static_cast<void>(::fcntl(door.get(), F_DUPFD, kFirstFreeNumber));
}

}  // namespace

int Exec(const Call& call) {
  const Result<UniqueFd> door =
      EnterDoor(call.arguments.state_dir(), Deadline::After(kDoorPatience));
  // The others end with their process, which may be a person's session.
  if (door.ok() && call.arguments.detach) StayInUntilItEnds(*door);
  return PassThrough(call);
}

}  // namespace cryopod::wrapper
