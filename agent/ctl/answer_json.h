#pragma once

#include <string>

#include "agent/api/types.h"
#include "agent/os/status.h"

// The agent's answers for programs: one JSON object in one line, the field names of cryopod.proto.
namespace cryopod::ctl {

std::string ToJson(const api::CheckpointResult& result);
std::string ToJson(const api::RestoreResult& result);
std::string ToJson(const api::Listing& listing);
std::string ToJson(const api::Inspection& inspection);
std::string ToJson(const api::Verification& verification);
std::string ToJson(const api::ArchiveSummary& summary);
std::string ToJson(const api::NodeInfo& node);
// {"file": …, "size_bytes": …} of an export.
std::string ExportToJson(const std::string& file, uint64_t size_bytes);
std::string DeletionToJson(const std::string& archive);
std::string CancellationToJson(const std::string& operation);
// {"error": {"code", "reason", "message", "operation_id", "log_folder"}} of a command that failed.
// `message` is that of the status, with the remedy.
std::string FailureToJson(const Status& status, const std::string& message,
                          const api::FailureDetails& failure);

}  // namespace cryopod::ctl
