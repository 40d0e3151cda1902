#include "agent/api/messages.h"

#include <algorithm>
#include <limits>

#include "agent/api/cryopod.pb.h"

namespace cryopod::api {
namespace {

uint32_t ToSeconds(std::chrono::seconds timeout) {
  return static_cast<uint32_t>(
      std::clamp<int64_t>(timeout.count(), 0, std::numeric_limits<uint32_t>::max()));
}

template <typename Message>
void AddPhases(const std::vector<Phase>& phases, Message* message) {
  for (const Phase& phase : phases) {
    v1::Phase* const out = message->add_phases();
    out->set_name(phase.name);
    out->set_duration_us(phase.duration_us);
  }
}

template <typename Message>
std::vector<Phase> ReadPhases(const Message& message) {
  std::vector<Phase> phases;
  for (const v1::Phase& phase : message.phases()) {
    phases.push_back({phase.name(), phase.duration_us()});
  }
  return phases;
}

// The same numbers.
v1::Requirement::State ToState(RequirementState state) {
  if (state == RequirementState::kMet) return v1::Requirement::MET;
  return state == RequirementState::kLacking ? v1::Requirement::LACKING : v1::Requirement::UNKNOWN;
}

RequirementState ReadState(v1::Requirement::State state) {
  if (state == v1::Requirement::MET) return RequirementState::kMet;
  return state == v1::Requirement::LACKING ? RequirementState::kLacking
                                           : RequirementState::kUnknown;
}

}  // namespace

void ToMessage(const CheckpointRequest& request, v1::CheckpointRequest* message) {
  message->set_pod(request.pod);
  message->set_archive(request.archive);
  message->set_stop_source(request.stop_source);
  message->set_without_volumes(request.without_volumes);
  message->set_timeout_seconds(ToSeconds(request.timeout));
  message->set_operation_id(request.operation_id);
}

void ToMessage(const RestoreRequest& request, v1::RestoreRequest* message) {
  message->set_archive(request.archive);
  message->set_request_json(request.request_json);
  message->set_request_from_archive(request.request_from_archive);
  message->set_runtime_handler(request.runtime_handler);
  message->set_timeout_seconds(ToSeconds(request.timeout));
  message->set_operation_id(request.operation_id);
}

void ToMessage(const CheckpointResult& result, v1::CheckpointResult* message) {
  message->set_archive(result.archive);
  message->set_digest(result.digest);
  message->set_size_bytes(result.size_bytes);
  message->set_captured_bytes(result.captured_bytes);
  message->set_freeze_us(result.freeze_us);
  message->set_source_stopped(result.source_stopped);
  message->mutable_lacks()->Add(result.lacks.begin(), result.lacks.end());
  message->mutable_external_files()->Add(result.external_files.begin(),
                                         result.external_files.end());
  AddPhases(result.phases, message);
}

void ToMessage(const RestoreResult& result, v1::RestoreResult* message) {
  message->set_pod_sandbox_id(result.pod_sandbox_id);
  message->set_outcome(result.outcome);
  for (const RestoredContainer& container : result.containers) {
    v1::RestoredContainer* const out = message->add_containers();
    out->set_name(container.name);
    out->set_container_id(container.container_id);
    out->set_pid(container.pid);
  }
  AddPhases(result.phases, message);
}

void ToMessage(const ArchiveSummary& summary, v1::ArchiveSummary* message) {
  message->set_name(summary.name);
  message->set_digest(summary.digest);
  message->set_namespace_(summary.pod_namespace);
  message->set_pod(summary.pod);
  message->set_pod_uid(summary.pod_uid);
  message->set_created(summary.created);
  message->set_size_bytes(summary.size_bytes);
  message->mutable_containers()->Add(summary.containers.begin(), summary.containers.end());
  message->set_damage(summary.damage);
}

void ToMessage(const Operation& operation, v1::Operation* message) {
  message->set_operation_id(operation.operation_id);
  message->set_kind(operation.kind);
  message->set_pod(operation.pod);
  message->set_archive(operation.archive);
  message->set_stage(operation.stage);
  message->set_container(operation.container);
  message->set_bytes_done(operation.bytes_done);
  message->set_bytes_total(operation.bytes_total);
  message->set_began(operation.began);
  message->set_timeout_seconds(operation.timeout_seconds);
  message->set_state(operation.state);
  message->set_code(operation.code);
  message->set_reason(operation.reason);
  message->set_message(operation.message);
  message->set_log_folder(operation.log_folder);
}

void ToMessage(const Progress& progress, v1::OperationEvent* message) {
  message->set_operation_id(progress.operation_id);
  message->set_stage(progress.stage);
  message->set_container(progress.container);
  message->set_bytes_done(progress.bytes_done);
  message->set_bytes_total(progress.bytes_total);
}

void ToMessage(const NodeInfo& node, v1::NodeInfoResponse* message) {
  message->set_agent_version(node.agent_version);
  message->set_criu_version(node.criu_version);
  message->set_runtime_name(node.runtime_name);
  message->set_runtime_version(node.runtime_version);
  message->set_kernel(node.kernel);
  message->set_cgroup_version(node.cgroup_version);
  message->set_architecture(node.architecture);
  message->mutable_problems()->Add(node.problems.begin(), node.problems.end());
  for (const Requirement& requirement : node.requirements) {
    v1::Requirement* const out = message->add_requirements();
    out->set_name(requirement.name);
    out->set_state(ToState(requirement.state));
    out->set_found(requirement.found);
    out->set_reason(requirement.reason);
    out->set_remedy(requirement.remedy);
  }
}

CheckpointRequest FromMessage(const v1::CheckpointRequest& message) {
  CheckpointRequest request;
  request.pod = message.pod();
  request.archive = message.archive();
  request.stop_source = message.stop_source();
  request.without_volumes = message.without_volumes();
  request.timeout = std::chrono::seconds(message.timeout_seconds());
  request.operation_id = message.operation_id();
  return request;
}

RestoreRequest FromMessage(const v1::RestoreRequest& message) {
  RestoreRequest request;
  request.archive = message.archive();
  request.request_json = message.request_json();
  request.request_from_archive = message.request_from_archive();
  request.runtime_handler = message.runtime_handler();
  request.timeout = std::chrono::seconds(message.timeout_seconds());
  request.operation_id = message.operation_id();
  return request;
}

Progress FromMessage(const v1::OperationEvent& message) {
  return {message.operation_id(), message.stage(), message.container(), message.bytes_done(),
          message.bytes_total()};
}

CheckpointResult FromMessage(const v1::CheckpointResult& message) {
  CheckpointResult result;
  result.archive = message.archive();
  result.digest = message.digest();
  result.size_bytes = message.size_bytes();
  result.captured_bytes = message.captured_bytes();
  result.freeze_us = message.freeze_us();
  result.phases = ReadPhases(message);
  result.lacks.assign(message.lacks().begin(), message.lacks().end());
  result.external_files.assign(message.external_files().begin(), message.external_files().end());
  result.source_stopped = message.source_stopped();
  return result;
}

RestoreResult FromMessage(const v1::RestoreResult& message) {
  RestoreResult result;
  result.pod_sandbox_id = message.pod_sandbox_id();
  for (const v1::RestoredContainer& container : message.containers()) {
    result.containers.push_back({container.name(), container.container_id(), container.pid()});
  }
  result.phases = ReadPhases(message);
  result.outcome = message.outcome();
  return result;
}

ArchiveSummary FromMessage(const v1::ArchiveSummary& message) {
  ArchiveSummary summary;
  summary.name = message.name();
  summary.digest = message.digest();
  summary.pod_namespace = message.namespace_();
  summary.pod = message.pod();
  summary.pod_uid = message.pod_uid();
  summary.created = message.created();
  summary.size_bytes = message.size_bytes();
  summary.containers.assign(message.containers().begin(), message.containers().end());
  summary.damage = message.damage();
  return summary;
}

Listing FromMessage(const v1::ListResponse& message) {
  Listing listing;
  for (const v1::ArchiveSummary& archive : message.archives()) {
    listing.archives.push_back(FromMessage(archive));
  }
  for (const v1::Operation& operation : message.operations()) {
    listing.operations.push_back(
        {operation.operation_id(), operation.kind(), operation.pod(), operation.archive(),
         operation.stage(), operation.container(), operation.bytes_done(), operation.bytes_total(),
         operation.began(), operation.timeout_seconds(), operation.state(), operation.code(),
         operation.reason(), operation.message(), operation.log_folder()});
  }
  return listing;
}

NodeInfo FromMessage(const v1::NodeInfoResponse& message) {
  NodeInfo node;
  node.agent_version = message.agent_version();
  node.criu_version = message.criu_version();
  node.runtime_name = message.runtime_name();
  node.runtime_version = message.runtime_version();
  node.kernel = message.kernel();
  node.cgroup_version = message.cgroup_version();
  node.architecture = message.architecture();
  node.problems.assign(message.problems().begin(), message.problems().end());
  for (const v1::Requirement& requirement : message.requirements()) {
    node.requirements.push_back({requirement.name(), ReadState(requirement.state()),
                                 requirement.found(), requirement.reason(), requirement.remedy()});
  }
  return node;
}

}  // namespace cryopod::api
