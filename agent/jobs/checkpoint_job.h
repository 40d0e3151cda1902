#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/archive/oci/pod_checkpoint.h"
#include "agent/criu/images/criu_images.h"
#include "agent/jobs/process_identity.h"
#include "agent/json/fields.h"
#include "agent/os/status.h"

// The files of a cryopod-checkpoint (agent/jobs/job_file.h).
namespace cryopod::jobs {

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
  std::string image_id = {};  // digest of its configuration
  bool operator==(const RequestedContainer&) const = default;
};

// request.json: what the agent asks. Everything that only CRI can tell is in it, because the
// process that touches processes speaks no gRPC.
struct CheckpointJob {
  std::string operation_id;
  std::string archive;
  std::string sandbox_id;
  std::string pod_name;
  std::string pod_namespace;
  std::string pod_uid;
  std::string runtime_handler;
  std::string sandbox_config_json;  // CRI PodSandboxConfig
  std::string runtime_name;         // of the container runtime
  std::string runtime_version;
  std::vector<RequestedContainer> containers;  // in the order of creation
  std::vector<archive::FinishedContainer> finished;

  std::string runtime_root;  // of the OCI runtime: holds <container id>/state.json
  std::string store_root;    // archives
  std::string state_dir;     // disk staging and logs
  std::string criu_program = "criu";
  std::string criu_tools_dir;  // first in CRIU's PATH; may be empty
  bool stop_source = false;
  bool without_volumes = false;
  bool restore_once = false;
  uint32_t timeout_s = 300;          // of the operation
  uint32_t freeze_budget_ms = 2000;  // for tries after the first that yield nothing
  bool operator==(const CheckpointJob&) const = default;
};
void Describe(json::Fields& fields, CheckpointJob& job);

// journal.json: what a repair has to undo.
struct Journal {
  std::vector<std::string> cgroups;    // directories of the leaf cgroups
  std::vector<ProcessIdentity> criu;   // parked or dumping
  std::vector<ProcessIdentity> inits;  // of the containers, against reuse of a cgroup's name
  std::string disk_staging;            // empty when the staging area is in memory
  bool operator==(const Journal&) const = default;
};
void Describe(json::Fields& fields, Journal& journal);

// result.json and stopping.json.
struct CheckpointResult {
  Status status;
  std::string archive;
  std::string digest;
  uint64_t size_bytes = 0;
  uint64_t captured_bytes = 0;
  uint64_t freeze_us = 0;  // of all freezes, also those that yielded nothing
  std::vector<archive::PhaseTiming> phases;
  std::vector<criu::DumpStats> dumps;  // one a container
  std::vector<std::string> lacks;
  std::vector<std::string> external_files;  // that a restore needs and the archive has not
  bool source_killed = false;  // what is left of the pod waits for its removal through CRI
  bool may_be_frozen = false;  // it could not be thawed, or a CRIU holds it: to be repaired
};
void Describe(json::Fields& fields, CheckpointResult& result);

}  // namespace cryopod::jobs
