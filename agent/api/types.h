#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "agent/api/requirement.h"

// What the agent is asked for and what it answers, as value types.
//
// Source  agent/api/cryopod.proto: same names, same meaning.
namespace cryopod::api {

struct CheckpointRequest {
  std::string pod;      // NAMESPACE/POD, or a unique prefix of a sandbox ID
  std::string archive;  // empty: the agent makes a name
  bool stop_source = false;
  bool without_volumes = false;
  bool restore_once = false;
  std::chrono::seconds timeout{0};  // of the operation; 0: the agent's default
  std::string operation_id = {};    // empty: the agent makes one
};

// How far an operation is. A stage without a size has bytes_total 0.
struct Progress {
  std::string operation_id;
  std::string stage;
  std::string container;  // empty: the pod
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
};

struct Phase {
  std::string name;
  uint64_t duration_us = 0;
};

struct CheckpointResult {
  std::string archive;
  std::string digest;
  uint64_t size_bytes = 0;
  uint64_t captured_bytes = 0;
  uint64_t freeze_us = 0;
  std::vector<Phase> phases;
  std::vector<std::string> lacks;
  std::vector<std::string> external_files;
  bool source_stopped = false;
};

struct RestoreRequest {
  std::string archive;       // NAME[@sha256:DIGEST]
  std::string request_json;  // excludes request_from_archive
  bool request_from_archive = false;
  std::string runtime_handler;      // empty: the agent's default
  std::chrono::seconds timeout{0};  // 0: the agent's default
  std::string operation_id = {};    // empty: the agent makes one
  std::string differences = {};     // in what the pod may differ; empty: what its request says
};

struct RestoredContainer {
  std::string name;
  std::string container_id;
  uint32_t pid = 0;
};

struct RestoreResult {
  std::string pod_sandbox_id;
  std::vector<RestoredContainer> containers;
  std::vector<Phase> phases;
  std::string outcome;
  std::vector<std::string> warnings = {};
};

using OperationResult = std::variant<CheckpointResult, RestoreResult>;

struct ArchiveSummary {
  std::string name;
  std::string digest;
  std::string pod_namespace;
  std::string pod;
  std::string pod_uid;
  std::string created;  // RFC 3339
  uint64_t size_bytes = 0;
  std::vector<std::string> containers;
  std::string damage;  // empty, or why the archive cannot be read
};

// What a call that began an operation tells beside its error.
struct FailureDetails {
  std::string operation_id;
  std::string log_folder;  // on the node; empty: no logs
};

struct Operation {
  std::string operation_id;
  std::string kind;  // "checkpoint" or "restore"
  std::string pod;
  std::string archive;
  std::string stage;
  std::string container;
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  std::string began;  // RFC 3339
  uint32_t timeout_seconds = 0;
  std::string state;  // "running", "succeeded", "failed", "cancelled", "foreign"
  std::string code;   // of one that failed, with reason and message
  std::string reason;
  std::string message;
  std::string log_folder;
};

struct Listing {
  std::vector<ArchiveSummary> archives;
  std::vector<Operation> operations;
};

struct Inspection {
  ArchiveSummary summary;
  std::string pod_checkpoint_json;
};

struct Verification {
  std::string digest;
  uint64_t blobs = 0;
  uint64_t size_bytes = 0;
};

struct NodeInfo {
  std::string agent_version;
  std::string criu_version;
  std::string runtime_name;
  std::string runtime_version;
  std::string kernel;
  std::string cgroup_version;
  std::string architecture;
  std::vector<std::string> problems;  // empty when the node can checkpoint and restore
  std::vector<Requirement> requirements = {};
};

}  // namespace cryopod::api
