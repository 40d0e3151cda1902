#include <nlohmann/json.hpp>

#include "agent/ctl/answers.h"

using nlohmann::ordered_json;

// What stands in lists; nlohmann finds these by the namespace of the type.
namespace cryopod::api {

static void to_json(ordered_json& json, const Phase& phase) {
  json = {{"name", phase.name}, {"duration_us", phase.duration_us}};
}

static void to_json(ordered_json& json, const RestoredContainer& container) {
  json = {
      {"name", container.name}, {"container_id", container.container_id}, {"pid", container.pid}};
}

static void to_json(ordered_json& json, const ArchiveSummary& summary) {
  json = {{"name", summary.name},
          {"digest", summary.digest},
          {"namespace", summary.pod_namespace},
          {"pod", summary.pod},
          {"pod_uid", summary.pod_uid},
          {"created", summary.created},
          {"size_bytes", summary.size_bytes},
          {"containers", summary.containers},
          {"damage", summary.damage}};
}

static void to_json(ordered_json& json, const Operation& operation) {
  json = {{"operation_id", operation.operation_id},
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
          {"log_folder", operation.log_folder}};
}

static void to_json(ordered_json& json, const Requirement& requirement) {
  ordered_json ok = requirement.state == RequirementState::kMet;
  if (requirement.state == RequirementState::kUnknown) ok = nullptr;
  json = {{"requirement", requirement.name},
          {"ok", ok},
          {"found", requirement.found},
          {"reason", requirement.reason},
          {"remedy", requirement.remedy}};
}

}  // namespace cryopod::api

namespace cryopod::ctl {
namespace {

std::string Print(const ordered_json& answer, int indent = -1) {
  // Names out of a foreign archive need not be UTF-8.
  return answer.dump(indent, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string ToJson(const api::CheckpointResult& result) {
  return Print({{"archive", result.archive},
                {"digest", result.digest},
                {"size_bytes", result.size_bytes},
                {"captured_bytes", result.captured_bytes},
                {"freeze_us", result.freeze_us},
                {"phases", result.phases},
                {"lacks", result.lacks},
                {"external_files", result.external_files},
                {"source_stopped", result.source_stopped}});
}

std::string ToJson(const api::RestoreResult& result) {
  return Print({{"pod_sandbox_id", result.pod_sandbox_id},
                {"containers", result.containers},
                {"phases", result.phases},
                {"outcome", result.outcome},
                {"warnings", result.warnings}});
}

std::string ToJson(const api::OperationResult& result) {
  return std::visit([](const auto& answer) { return ToJson(answer); }, result);
}

std::string ToJson(const api::Listing& listing) {
  return Print({{"archives", listing.archives}, {"operations", listing.operations}});
}

std::string ToJson(const api::Inspection& inspection) {
  ordered_json checkpoint =
      ordered_json::parse(inspection.pod_checkpoint_json, nullptr, /*allow_exceptions=*/false);
  if (checkpoint.is_discarded()) checkpoint = nullptr;
  return Print({{"summary", inspection.summary}, {"pod_checkpoint", checkpoint}});
}

std::string ToJson(const Verified& verified) {
  return Print({{"archive", verified.archive},
                {"digest", verified.verification.digest},
                {"blobs", verified.verification.blobs},
                {"size_bytes", verified.verification.size_bytes}});
}

std::string ToJson(const Versions& versions) {
  ordered_json agent = nullptr;
  if (!versions.agent.empty()) agent = versions.agent;
  return Print({{"client", versions.client}, {"agent", agent}});
}

std::string ToJson(const api::ArchiveSummary& summary) { return Print(summary); }

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

std::string ToJson(const RunningPod& pod) {
  return Print({{"containers", pod.containers}, {"pod_sandbox_id", pod.sandbox_id}}, 2);
}

std::string ToJson(const Exported& exported) {
  return Print({{"file", exported.file}, {"size_bytes", exported.size_bytes}});
}

std::string ToJson(const Done& done) { return Print({{done.what, done.subject}}); }

std::string ToJson(const std::vector<api::Requirement>& requirements) {
  return Print(requirements);
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
