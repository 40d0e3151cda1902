#include "agent/ctl/answer_json.h"

#include <nlohmann/json.hpp>

namespace cryopod::ctl {
namespace {

using nlohmann::ordered_json;

std::string Print(const ordered_json& answer) {
  // Names out of a foreign archive need not be UTF-8.
  return answer.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

ordered_json Phases(const std::vector<api::Phase>& phases) {
  ordered_json list = ordered_json::array();
  for (const api::Phase& phase : phases) {
    list.push_back({{"name", phase.name}, {"duration_us", phase.duration_us}});
  }
  return list;
}

ordered_json Summary(const api::ArchiveSummary& summary) {
  return {{"name", summary.name},
          {"digest", summary.digest},
          {"namespace", summary.pod_namespace},
          {"pod", summary.pod},
          {"pod_uid", summary.pod_uid},
          {"created", summary.created},
          {"size_bytes", summary.size_bytes},
          {"containers", summary.containers},
          {"damage", summary.damage}};
}

}  // namespace

std::string ToJson(const api::CheckpointResult& result) {
  return Print({{"archive", result.archive},
                {"digest", result.digest},
                {"size_bytes", result.size_bytes},
                {"captured_bytes", result.captured_bytes},
                {"freeze_us", result.freeze_us},
                {"phases", Phases(result.phases)},
                {"lacks", result.lacks},
                {"external_files", result.external_files},
                {"source_stopped", result.source_stopped}});
}

std::string ToJson(const api::RestoreResult& result) {
  ordered_json containers = ordered_json::array();
  for (const api::RestoredContainer& container : result.containers) {
    containers.push_back({{"name", container.name},
                          {"container_id", container.container_id},
                          {"pid", container.pid}});
  }
  return Print({{"pod_sandbox_id", result.pod_sandbox_id},
                {"containers", containers},
                {"phases", Phases(result.phases)},
                {"outcome", result.outcome}});
}

std::string ToJson(const api::Listing& listing) {
  ordered_json archives = ordered_json::array();
  for (const api::ArchiveSummary& archive : listing.archives) archives.push_back(Summary(archive));
  ordered_json operations = ordered_json::array();
  for (const api::Operation& operation : listing.operations) {
    operations.push_back({{"operation_id", operation.operation_id},
                          {"kind", operation.kind},
                          {"pod", operation.pod},
                          {"archive", operation.archive},
                          {"state", operation.state},
                          {"stage", operation.stage},
                          {"container", operation.container},
                          {"bytes_done", operation.bytes_done},
                          {"bytes_total", operation.bytes_total},
                          {"began", operation.began},
                          {"timeout_seconds", operation.timeout_seconds},
                          {"code", operation.code},
                          {"reason", operation.reason},
                          {"message", operation.message},
                          {"log_folder", operation.log_folder}});
  }
  return Print({{"archives", archives}, {"operations", operations}});
}

std::string ToJson(const api::Inspection& inspection) {
  ordered_json checkpoint =
      ordered_json::parse(inspection.pod_checkpoint_json, nullptr, /*allow_exceptions=*/false);
  if (checkpoint.is_discarded()) checkpoint = nullptr;
  return Print({{"summary", Summary(inspection.summary)}, {"pod_checkpoint", checkpoint}});
}

std::string ToJson(const api::Verification& verification) {
  return Print({{"digest", verification.digest},
                {"blobs", verification.blobs},
                {"size_bytes", verification.size_bytes}});
}

std::string ToJson(const api::ArchiveSummary& summary) { return Print(Summary(summary)); }

std::string ToJson(const api::NodeInfo& node) {
  return Print({{"agent_version", node.agent_version},
                {"criu_version", node.criu_version},
                {"runtime_name", node.runtime_name},
                {"runtime_version", node.runtime_version},
                {"kernel", node.kernel},
                {"cgroup_version", node.cgroup_version},
                {"architecture", node.architecture},
                {"problems", node.problems}});
}

std::string ExportToJson(const std::string& file, uint64_t size_bytes) {
  return Print({{"file", file}, {"size_bytes", size_bytes}});
}

std::string DeletionToJson(const std::string& archive) { return Print({{"deleted", archive}}); }

std::string CancellationToJson(const std::string& operation) {
  return Print({{"cancelled", operation}});
}

std::string FailureToJson(const Status& status, const std::string& message,
                          const api::FailureDetails& failure) {
  return Print({{"error",
                 {{"code", CodeName(status.code())},
                  {"reason", ReasonName(status.reason())},
                  {"message", message},
                  {"operation_id", failure.operation_id},
                  {"log_folder", failure.log_folder}}}});
}

}  // namespace cryopod::ctl
