#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/json/fields.h"
#include "agent/os/reason.h"
#include "agent/os/status.h"

// The files of a cryopod-restore (agent/jobs/job_file.h).
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
  bool restore_once = false;      // the annotation; the archive may say so, too
  std::string store_root;
  std::string state_dir;       // of the records of what was restored
  std::string unpack_program;  // path of cryopod-unpack
  std::string criu_program = "criu";
  std::string hold_plugin;  // path of the library for CRIU (agent/criu/plugin); empty: none
  std::string staging_dir;  // where the tmpfs is mounted
  std::chrono::seconds idle_timeout{600};  // without a request
  std::chrono::milliseconds hold{1000};    // of a started container for the others
};
void Describe(json::Fields& fields, RestoreJob& job);

enum class Stage {
  kChecking,   // "checking": archive and node
  kStaging,    // "staging": CRIU images are unpacked
  kServing,    // "serving": ready for the runtime's calls
  kRestored,   // "restored": every container runs; final
  kFailed,     // "failed": archive or node do not serve; the next request tries again
  kAbandoned,  // "abandoned": ended before every container ran; final
};

enum class Phase {
  kWaiting,      // "waiting": not staged yet
  kStaged,       // "staged"
  kRestoring,    // "restoring": the real runtime's restore runs
  kRestored,     // "restored": the processes exist and have not run
  kHeld,         // "held": started, held for the pod's other containers
  kStarted,      // "started": the restored processes run
  kFailed,       // "failed": reason says why; the next create tries again
  kColdStarted,  // "coldStarted": consumed before, it starts or runs like any
};

struct ContainerReport {
  std::string name;
  std::string id;
  Phase phase = Phase::kWaiting;
  std::string reason;                  // of kFailed
  Reason reason_code = Reason::kNone;  // the same as a word
  pid_t pid = 0;                       // of the restored init process
  uint64_t start_time_ticks = 0;       // with the PID it identifies the process
  // Where it lives, for whoever has to go on with it.
  std::string state_dir;
  std::string rootfs;
  std::string cgroup_dir;
  std::string uts_path;
  std::string hostname;  // of the pod, to be put back after a restore
  bool frozen = false;   // what is restored is held in a frozen cgroup; else by stop signals

  bool operator==(const ContainerReport&) const = default;
};

// state.json: how far a restore is.
struct Report {
  Stage stage = Stage::kChecking;
  Status error;
  std::vector<ContainerReport> containers;  // in the order of the archive
};
void Describe(json::Fields& fields, Report& report);

std::string_view StageName(Stage stage);
std::string_view PhaseName(Phase phase);

}  // namespace cryopod::jobs
