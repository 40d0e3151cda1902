#pragma once

#include <chrono>
#include <string>

#include "agent/json/fields.h"
#include "agent/os/status.h"

namespace cryopod::jobs {

// request.json of a cryopod-restore, which is started as `--job DIR`. Started again on the same
// directory it goes on where the last one ended; with --end it only ends what that one has left.
struct RestoreJob {
  std::string operation_id;
  std::string archive;  // name in the store
  std::string digest;   // of the pod's index; empty: whatever stands under the name
  std::string pod_uid;
  std::string pod_namespace;
  std::string pod_name;
  std::string restore_from;       // the annotation, word for word
  std::string restore_operation;  // the annotation; may be empty
  std::string store_root;
  std::string state_dir;       // of the consumed records
  std::string unpack_program;  // path of cryopod-unpack
  std::string criu_program = "criu";
  std::string staging_dir;                 // where the tmpfs is mounted
  std::chrono::seconds idle_timeout{600};  // without a request
  std::chrono::milliseconds hold{1000};    // of a started container for the others
};
void Describe(json::Fields& fields, RestoreJob& job);

// Errors: as jobs::ReadFileOf; what the fields say is checked.
Result<RestoreJob> ReadRestoreJob(const std::string& job_dir);

}  // namespace cryopod::jobs
