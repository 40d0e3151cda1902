#pragma once

#include <string>

#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::wrapper {

// Where the containers of a pod share a PID namespace, one that runs takes PIDs which the restore
// of another one needs. So what is held is not let run while another one is being restored: who
// restores has the lock together with others, who lets run waits until nobody has it.
//
// Shape    a flock on <records_dir>/consumed/<pod UID>/.attempts; it ends with the descriptor, and
//          with the process that has it.
// Errors   those of files; kInvalidArgument (the UID).
Result<UniqueFd> BeginAttempt(const std::string& records_dir, const std::string& pod_uid);
// None is under way, and none begins before the descriptor is closed. Errors: also
// kDeadlineExceeded.
Result<UniqueFd> WaitForAttempts(const std::string& records_dir, const std::string& pod_uid,
                                 Deadline deadline);

}  // namespace cryopod::wrapper
