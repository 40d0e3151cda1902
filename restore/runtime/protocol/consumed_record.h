#pragma once

#include <string>

#include "agent/os/status.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::wrapper {

// That a container of a pod was restored and let run: from then on a crash starts it cold, as any
// container. It stands on disk before anything resumes, and survives a reboot.
//
// Shape    <state_dir>/consumed/<pod UID>/<container name>: key=value lines restore_from,
//          operation_id, restore_operation, time (RFC 3339), remark. Directories 0700, files 0600.
//          Of the pod as a whole, under names that no container has: ".cold", all of it starts
//          cold, and ".skipped", one that had finished before the cut was not run again.
// Threads  any.
struct ConsumedRecord {
  std::string restore_from;
  std::string restore_operation;  // the annotation, usually empty
  std::string operation_id;       // of the restore that consumed it
  std::string time;               // filled by WriteConsumed when empty
  // In what the request differs from the archive; of a cold start, why.
  std::string remark = {};
};

// A pod UID or container name that may become a file name: 1 to 253 of [A-Za-z0-9._-], not
// beginning with a dot. Errors: kInvalidArgument; `what` names the field.
Status CheckComponent(const std::string& value, const std::string& what);

// Durable when it returns: the record and every directory above it are synced.
Status WriteConsumed(const std::string& state_dir, const std::string& pod_uid,
                     const std::string& container_name, ConsumedRecord record);
// Errors: kNotFound (none), kDataLoss (unreadable; names the file).
Result<ConsumedRecord> ReadConsumed(const std::string& state_dir, const std::string& pod_uid,
                                    const std::string& container_name);

// That the pod starts cold as its annotation allows, for request.failure; the same twice is fine.
// Errors: kFailedPrecondition: a container of it was restored, or one that had finished was not run
// again, and the rest alone would be half a pod.
Status WriteColdStart(const std::string& state_dir, const Request& request);
// That a cold start of this pod is no longer right.
Status WriteSkipped(const std::string& state_dir, const Request& request);

// Is what `request` asks for consumed, or does its pod start cold? A record of another archive, or
// of another deliberate restore of a pod with the same UID, does not count. For a sandbox: is any
// container's? Errors: kDataLoss, kInvalidArgument; never a guess.
Result<bool> IsConsumed(const std::string& state_dir, const Request& request);

}  // namespace cryopod::wrapper
