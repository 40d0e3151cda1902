#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/os/status.h"
#include "restore/runtime/protocol/key_values.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::wrapper {

// That a pod was restored and something of it was let run: from then on its containers start as any
// other's, and a pod that is made anew is never restored again. One record for the pod; it stands
// on disk before anything resumes, and survives a reboot.
//
// Shape    <state_dir>/consumed/<pod UID>/.restored: key=value lines with the members, lists with
//          blanks between the names, and remark_<place in `restored`>. Directories 0700, files
//          0600. Beside it ".cold", all of the pod starts cold, and ".skipped", one that had
//          finished before the cut was not run again. Files that are named by a container are an
//          older version's, of which each stands for that container alone; they are read as ever.
// Threads  any, also of several processes: they take turns.
struct ConsumedRecord {
  std::string restore_from;
  std::string restore_operation;  // the annotation, usually empty
  std::string operation_id;       // of the restore that consumed it
  std::string sandbox_id;         // the one that was restored; empty: of an older version
  std::string time;               // filled by AddConsumed when empty
  // Containers that were let run, each with in what its request differs from the archive.
  std::map<std::string, std::string> restored;
  // Those that have not been: in this sandbox they are still restored, and in no other.
  std::set<std::string> waiting;
  // Those that had finished before the cut: in this sandbox the next `create` of one is not its own
  // program's. And those for which that has been.
  std::set<std::string> finished;
  std::set<std::string> replaced;
};

// As it is written, and what several of one restore say together.
KeyValues ValuesOf(const ConsumedRecord& record);
ConsumedRecord RecordFrom(const KeyValues& values);
ConsumedRecord Merged(ConsumedRecord record, ConsumedRecord other);

// A pod UID or container name that may become a file name: 1 to 253 of [A-Za-z0-9._-], not
// beginning with a dot. Errors: kInvalidArgument; `what` names the field.
Status CheckComponent(const std::string& value, const std::string& what);

// Adds what has been let run to what is recorded of the same restore; in `waiting` and `finished`
// stays what has not been done. Durable when it returns: the record and every directory above it
// are synced.
Status AddConsumed(const std::string& state_dir, const std::string& pod_uid, ConsumedRecord record);
// The same of a container that had finished before the cut, and is replaced now.
Status WriteReplaced(const std::string& state_dir, const Request& request);
// That of the very restore that `request` names; with an empty restore_from, of any archive.
// Errors: kNotFound (none), kDataLoss (unreadable; names the file), kInvalidArgument.
Result<ConsumedRecord> ReadConsumed(const std::string& state_dir, const Request& request);
// The UIDs of the pods of which anything is recorded.
Result<std::vector<std::string>> ListConsumed(const std::string& state_dir);
// All of it; a pod without is fine.
Status RemoveConsumed(const std::string& state_dir, const std::string& pod_uid);

// That the pod starts cold as its annotation allows, for request.failure; the same twice is fine.
// Errors: kFailedPrecondition: a container of it was restored, or one that had finished was not run
// again, and the rest alone would be half a pod.
Status WriteColdStart(const std::string& state_dir, const Request& request);
// That a cold start of this pod is no longer right.
Status WriteSkipped(const std::string& state_dir, const Request& request);

// What the records say of a `create`.
enum class Due {
  kRestore,  // nothing: it is to be restored
  kStart,    // its pod was restored or starts cold: it is a container or sandbox like any other
  kFinish,   // the same, and it had finished before the cut: it is replaced once
};
// A record of another archive, or of another deliberate restore of a pod with the same UID, does
// not count. Errors: kDataLoss, kInvalidArgument; never a guess.
Result<Due> DueOf(const std::string& state_dir, const Request& request);

// Was this container restored by what `request` names, and let run? Errors: as DueOf.
Result<bool> WasRestored(const std::string& state_dir, const Request& request);

}  // namespace cryopod::wrapper
