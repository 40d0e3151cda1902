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

template <typename Event>
Progress ReadProgress(const Event& event) {
  return {event.operation_id(), event.stage(), event.container(), event.bytes_done(),
          event.bytes_total()};
}

template <typename Message>
std::vector<Phase> ReadPhases(const Message& message) {
  std::vector<Phase> phases;
  for (const v1::Phase& phase : message.phases()) {
    phases.push_back({phase.name(), phase.duration_us()});
  }
  return phases;
}

RequirementState ReadState(v1::Requirement::State state) {
  if (state == v1::Requirement::MET) return RequirementState::kMet;
  return state == v1::Requirement::LACKING ? RequirementState::kLacking
                                           : RequirementState::kUnknown;
}

}  // namespace

void ToMessage(const Requirement& requirement, v1::Requirement* message) {
  message->set_name(requirement.name);
  if (requirement.state != RequirementState::kUnknown) {
    message->set_state(requirement.state == RequirementState::kMet ? v1::Requirement::MET
                                                                   : v1::Requirement::LACKING);
  }
  message->set_found(requirement.found);
  message->set_reason(requirement.reason);
  message->set_remedy(requirement.remedy);
}

void ToMessage(const CheckpointRequest& request, v1::CheckpointRequest* message) {
  message->set_pod(request.pod);
  message->set_archive(request.archive);
  message->set_stop_source(request.stop_source);
  message->set_without_volumes(request.without_volumes);
  message->set_timeout_seconds(ToSeconds(request.timeout));
}

void ToMessage(const RestoreRequest& request, v1::RestoreRequest* message) {
  message->set_archive(request.archive);
  message->set_request_json(request.request_json);
  message->set_request_from_archive(request.request_from_archive);
  message->set_runtime_handler(request.runtime_handler);
  message->set_timeout_seconds(ToSeconds(request.timeout));
}

Progress FromMessage(const v1::CheckpointEvent& message) { return ReadProgress(message); }
Progress FromMessage(const v1::RestoreEvent& message) { return ReadProgress(message); }

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
  for (const v1::RunningOperation& operation : message.operations()) {
    listing.operations.push_back(
        {operation.operation_id(), operation.kind(), operation.pod(), operation.stage()});
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
