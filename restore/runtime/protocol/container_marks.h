#pragma once

#include <string>
#include <vector>

#include "agent/os/status.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/messages.h"

// Marks: files of ours in the OCI runtime's state directory of a container (<root>/<id>), which
// that runtime removes with the container. They let the wrapper act without asking anybody.
namespace cryopod::wrapper {

// "cryopod.restored": restored, its processes held, not started yet. Holds what a START or
// DELETED request says of the container.
Status WriteRestoredMark(const std::string& state_dir, const Request& request);
// The request of the mark, with kind unspecified. Errors: kNotFound (no mark), kDataLoss.
Result<Request> ReadRestoredMark(const std::string& state_dir);
Status RemoveRestoredMark(const std::string& state_dir);

// "cryopod.held": started, its processes held for the pod's other containers.
struct HeldMark {
  std::string cgroup_dir;  // the container's leaf
  std::string pod_uid;     // empty: a mark of an older version, whose record stands already
  // What is recorded when it is let run, and nothing else with it.
  ConsumedRecord record;
  bool frozen = false;  // the leaf is frozen; else stop signals hold them
};
Status WriteHeldMark(const std::string& state_dir, const HeldMark& mark);
bool IsHeld(const std::string& state_dir);
// Errors: kNotFound (no mark), kDataLoss.
Result<HeldMark> ReadHeldMark(const std::string& state_dir);
// Takes the mark back without letting anything run.
Status RemoveHeldMark(const std::string& state_dir);

// Lets the processes of a pod's held containers run and removes the marks; before any of them runs,
// it is recorded below `records_dir` (AddConsumed). Whoever comes first does it: the restore
// process for all with the pod's last container, or the wrapper for the one into which an exec
// comes; for the other one there is nothing to do then. Errors: kDataLoss (damaged mark), and those
// of the record, with which nothing runs.
Status ReleaseHeld(const std::string& records_dir, const std::vector<std::string>& state_dirs);

}  // namespace cryopod::wrapper
