#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/api/requirement.h"
#include "agent/api/types.h"
#include "agent/ctl/pod_requests.h"
#include "agent/os/status.h"

// What a command answers. ToText is for people: aligned tables, sizes in MiB, durations in ms; what
// a stranger's archive brings along is shown as text and nothing more (see OneLine). ToJson is for
// programs: one JSON object in one line, the field names of cryopod.proto.
namespace cryopod::ctl {

// "deleted web1".
struct Done {
  std::string what;
  std::string subject;
};
// `agent` is empty when none answers, and `problem` says why.
struct Versions {
  std::string client;
  std::string agent;
  std::string problem;
};
struct Verified {
  std::string archive;
  api::Verification verification;
};
struct Exported {
  std::string file;
  uint64_t size_bytes = 0;
};

std::string ToText(const api::CheckpointResult& result);
std::string ToText(const api::RestoreResult& result);
std::string ToText(const api::OperationResult& result);
std::string ToText(const api::Listing& listing);
std::string ToWideText(const api::Listing& listing);
std::string ToText(const api::Inspection& inspection);
std::string ToText(const Verified& verified);
std::string ToText(const Versions& versions);
std::string ToText(const api::ArchiveSummary& summary);
std::string ToText(const api::NodeInfo& node);
std::string ToText(const RunningPod& pod);
std::string ToText(const Exported& exported);
std::string ToText(const Done& done);
// A table, and then reason and remedy of what is lacking.
std::string ToText(const std::vector<api::Requirement>& requirements);

std::string ToJson(const api::CheckpointResult& result);
std::string ToJson(const api::RestoreResult& result);
std::string ToJson(const api::OperationResult& result);
std::string ToJson(const api::Listing& listing);
std::string ToJson(const api::Inspection& inspection);
std::string ToJson(const Verified& verified);
std::string ToJson(const Versions& versions);
std::string ToJson(const api::ArchiveSummary& summary);
std::string ToJson(const api::NodeInfo& node);
std::string ToJson(const RunningPod& pod);
std::string ToJson(const Exported& exported);
std::string ToJson(const Done& done);
// A list of {"requirement", "ok" (null: cannot be seen), "found", "reason", "remedy"}.
std::string ToJson(const std::vector<api::Requirement>& requirements);
// {"error": {"code", "reason", "message", "operation_id", "log_folder"}} of a command that failed.
// `message` is that of the status, with the remedy.
std::string FailureToJson(const Status& status, const std::string& message,
                          const api::FailureDetails& failure);

}  // namespace cryopod::ctl
