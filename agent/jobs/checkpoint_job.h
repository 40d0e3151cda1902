#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/archive/oci/pod_checkpoint.h"
#include "agent/criu/images/criu_images.h"
#include "agent/os/status.h"

namespace cryopod::jobs {

// One operation's directory, /run/cryopod/jobs/<operation id>/, which outlives the agent: what the
// agent asked (request.json), who works on it (process.json), what is frozen and where the captured
// state lies (journal.json), how far it is (events), and how it ended (result.json).
//
// Threads  files are written by one process each: request.json by the agent, the rest by
//          cryopod-checkpoint.
inline constexpr char kRequestFile[] = "request.json";
inline constexpr char kProcessFile[] = "process.json";
inline constexpr char kJournalFile[] = "journal.json";
inline constexpr char kEventsFile[] = "events";
// The decision that the source ends: there from the moment at which its archive is committed and
// before the first of its processes is killed. Whoever finds the source frozen then kills it and
// never thaws it. Holds the result that is true once that is done.
inline constexpr char kStoppingFile[] = "stopping.json";
inline constexpr char kResultFile[] = "result.json";
inline constexpr char kStagingDirectory[] = "staging";

// A container to dump, as CRI described it.
struct RequestedContainer {
  std::string name;
  std::string id;
  std::string image;
  std::string image_ref;
  int64_t created_at_ns = 0;
  std::string config_json;  // CRI ContainerConfig
  std::string status_json;  // CRI ContainerStatus
  std::vector<archive::MountRecord> mounts;
  bool operator==(const RequestedContainer&) const = default;
};

// What the agent asks of cryopod-checkpoint. Everything that only CRI can tell is in it, because
// the process that touches processes speaks no gRPC.
struct CheckpointJob {
  std::string operation_id;
  std::string archive;
  std::string sandbox_id;
  std::string pod_name;
  std::string pod_namespace;
  std::string pod_uid;
  std::string runtime_handler;
  std::string sandbox_config_json;  // CRI PodSandboxConfig
  std::string runtime_name;
  std::string runtime_version;
  std::vector<RequestedContainer> containers;  // in the order of creation
  std::vector<archive::FinishedContainer> finished;

  std::string runtime_root;  // of runc: holds <container id>/state.json
  std::string store_root;    // archives
  std::string state_dir;     // disk staging and logs
  std::string criu_program;
  std::string criu_tools_dir;  // first in CRIU's PATH; may be empty
  bool stop_source = false;
  bool without_volumes = false;
  uint32_t timeout_s = 0;  // of the operation
  bool operator==(const CheckpointJob&) const = default;
};

std::string ToJson(const CheckpointJob& job);
// Errors: kInvalidArgument, names the field.
Result<CheckpointJob> ParseCheckpointJob(std::string_view json);

// A process by PID and start time: the pair does not come back.
struct ProcessIdentity {
  pid_t pid = 0;
  uint64_t start_ticks = 0;
  bool operator==(const ProcessIdentity&) const = default;
};
// True while the very process lives.
bool IsAlive(const ProcessIdentity& identity);
Result<ProcessIdentity> IdentifyProcess(pid_t pid);
Status WriteProcessFile(int job_dir_fd, const ProcessIdentity& identity);
Result<ProcessIdentity> ReadProcessFile(int job_dir_fd);

// What a repair has to undo; written and synced before the first freeze.
struct Journal {
  std::vector<std::string> cgroups;    // directories of the leaf cgroups
  std::vector<ProcessIdentity> criu;   // parked or dumping
  std::vector<ProcessIdentity> inits;  // of the containers, against reuse of a cgroup's name
  std::string disk_staging;            // empty when the staging area is in memory
  bool operator==(const Journal&) const = default;
};
std::string ToJson(const Journal& journal);
Result<Journal> ParseJournal(std::string_view json);

struct JobEvent {
  std::string stage;
  std::string container;
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  bool operator==(const JobEvent&) const = default;
};
std::string ToJson(const JobEvent& event);
Result<JobEvent> ParseJobEvent(std::string_view json);

struct JobResult {
  Status status;
  std::string archive;
  std::string digest;
  uint64_t size_bytes = 0;
  uint64_t captured_bytes = 0;
  uint64_t freeze_us = 0;
  std::vector<archive::PhaseTiming> phases;
  std::vector<criu::DumpStats> dumps;  // one a container
  std::vector<std::string> lacks;
  std::vector<std::string> external_files;  // that a restore needs and the archive has not
  bool source_killed = false;  // what is left of the pod waits for its removal through CRI
};
std::string ToJson(const JobResult& result);
Result<JobResult> ParseJobResult(std::string_view json);

}  // namespace cryopod::jobs
