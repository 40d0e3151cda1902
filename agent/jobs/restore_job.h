#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "agent/os/status.h"

namespace cryopod::jobs {

// What one cryopod-restore process works on: a directory DIR of its own.
//
// Shape    DIR/request.json   written by the agent before the process starts: the fields below
//          DIR/state.json     written by the process at each change (agent/jobs/restore_report.h)
//          DIR/control.sock   the process listens; each frame is a serialized runtime Request with
//                             one descriptor, the wrapper's connection, which the process answers
//          DIR/attempts/      working directories of the real runtime's restore: CRIU's log
//          A process that is started again on the same DIR goes on where the last one ended; with
//          --end it only ends what that one has left.
struct RestoreJob {
  std::string operation_id;
  std::string archive;  // name in the store
  std::string digest;   // of the pod's index; empty: whatever stands under the name
  std::string pod_uid;
  std::string pod_namespace;
  std::string pod_name;
  std::string restore_from;       // the annotation, word for word
  std::string restore_operation;  // the annotation; may be absent
  std::string store_root;
  std::string state_dir;                   // of the consumed records
  std::string unpack_program;              // path of cryopod-unpack
  std::string criu_program = "criu";       // may be absent
  std::string staging_dir;                 // where the tmpfs is mounted
  std::chrono::seconds idle_timeout{600};  // without a request; may be absent
  std::chrono::milliseconds hold{1000};    // of a started container for the others; may be absent
};

inline constexpr char kRequestFile[] = "request.json";
inline constexpr char kStateFile[] = "state.json";
inline constexpr char kControlSocket[] = "control.sock";

// Errors: kInvalidArgument, names the field; kNotFound.
Result<RestoreJob> ReadRestoreJob(const std::string& job_dir);
Result<RestoreJob> ParseRestoreJob(std::string_view json);

}  // namespace cryopod::jobs
