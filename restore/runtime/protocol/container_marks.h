#pragma once

#include <string>

#include "agent/os/status.h"
#include "restore/runtime/protocol/messages.h"

// Marks: files of ours in the OCI runtime's state directory of a container (<root>/<id>), which
// that runtime removes with the container. They let the wrapper act without asking anybody.
namespace cryopod::wrapper {

// "cryopod.restored": restored, its processes stopped, not started yet. Holds what a START or
// DELETED request says of the container.
Status WriteRestoredMark(const std::string& state_dir, const Request& request);
// The request of the mark, with kind unspecified. Errors: kNotFound (no mark), kDataLoss.
Result<Request> ReadRestoredMark(const std::string& state_dir);
Status RemoveRestoredMark(const std::string& state_dir);

// "cryopod.held": started, its processes held stopped for the pod's other containers. Holds the
// directory of the container's leaf cgroup.
Status WriteHeldMark(const std::string& state_dir, const std::string& cgroup_dir);
// Takes the mark back without letting anything run.
Status RemoveHeldMark(const std::string& state_dir);

// Lets the processes of a held container run and removes the mark. Whoever comes first does it: the
// restore process with the pod's last container, or the wrapper when an exec arrives; for the other
// one there is nothing to do then. Errors: kDataLoss (damaged mark).
Status ReleaseHeld(const std::string& state_dir);

}  // namespace cryopod::wrapper
