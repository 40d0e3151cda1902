#pragma once

#include <string>
#include <vector>

#include "agent/checkpoint/resolve_pod.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

// A process that comes into the pod while it is dumped makes the capture worthless. What comes in
// at regular times is the exec of a probe.
namespace cryopod::checkpoint {

// Keeps execs out of the pod as long as it lives, where their runtime is cryopod-runtime, which
// goes through the same doors (agent/os/door.h). Of any other runtime they find out nothing.
class ClosedDoors {
 public:
  // Waits for the execs that are on their way in, but no longer than `patience`: a container whose
  // door does not get free, or is gone, goes without. `runtime_root` holds the state directories.
  static ClosedDoors Of(const ResolvedPod& pod, const std::string& runtime_root, Deadline patience);

 private:
  explicit ClosedDoors(std::vector<UniqueFd> doors) : doors_(std::move(doors)) {}
  std::vector<UniqueFd> doors_;
};

// Waits until nothing is in the pod that came from outside. Errors: kAborted, names what stays;
// kCancelled.
Status WaitUntilExecsHaveEnded(const ResolvedPod& pod, Deadline patience);

// Waits for the next exec, and for its end: nothing is then known to be as far away as the one
// after it. Returns when the patience is over, too: there is no rhythm to be found. Errors:
// kCancelled.
Status WaitForTheEndOfAnExec(const ResolvedPod& pod, Deadline patience);

}  // namespace cryopod::checkpoint
