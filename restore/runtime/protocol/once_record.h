#pragma once

#include <string>

#include "agent/os/status.h"

namespace cryopod::wrapper {

// Who was restored from an archive that is restored at most once on this node, whatever the UID of
// the pod that asks. It stands on disk before anything of that pod runs. It outlives the archive,
// which may be imported again: who wants another restore removes the file.
//
// Shape    <state_dir>/once/<hexadecimal digest of the archive>: key=value lines with the members.
//          Directory 0700, files 0600.
// Threads  any; of several processes that claim one archive at once, one does.
struct OnceRecord {
  std::string archive;  // its name then
  std::string pod_uid;
  std::string pod_namespace;
  std::string pod_name;
  std::string restore_from;  // the annotations
  std::string restore_operation;
  std::string operation_id;
  std::string time;  // filled by ClaimOnce
};

// May this pod be restored from the archive with this digest? True as long as nobody has claimed
// it, and for the very restore that has: its pod may ask again, and for its other containers.
// Errors: kFailedPrecondition with reason already_restored, names the pod, the time and the remedy;
// kDataLoss (a damaged record; names the file).
Status CheckOnce(const std::string& state_dir, const std::string& digest, const OnceRecord& asks);

// The same, and durable when it returns: from now on no other pod may.
Status ClaimOnce(const std::string& state_dir, const std::string& digest, OnceRecord claims);

}  // namespace cryopod::wrapper
