#pragma once

#include <string>

#include "agent/os/status.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::wrapper {

// That a container of a pod was restored and let run: from then on a crash starts it cold, as any
// container. It stands on disk before anything resumes, and survives a reboot.
//
// Shape    <state_dir>/consumed/<pod UID>/<container name>: key=value lines restore_from,
//          operation_id, restore_operation, time (RFC 3339). Directories 0700, files 0600.
// Threads  any.
struct ConsumedRecord {
  std::string restore_from;
  std::string restore_operation;  // the annotation, usually empty
  std::string operation_id;       // of the restore that consumed it
  std::string time;               // filled by WriteConsumed when empty
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

// Is what `request` asks for consumed? A record of another archive, or of another deliberate
// restore of a pod with the same UID, does not count. For a sandbox: is any container's? Errors:
// kDataLoss, kInvalidArgument; never a guess.
Result<bool> IsConsumed(const std::string& state_dir, const Request& request);

}  // namespace cryopod::wrapper
