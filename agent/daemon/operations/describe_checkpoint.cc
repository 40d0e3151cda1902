#include "agent/daemon/operations/describe_checkpoint.h"

#include <algorithm>
#include <tuple>

#include "agent/archive/store/archive_store.h"
#include "agent/os/text.h"

namespace cryopod::daemon {
namespace {

jobs::RequestedContainer Describe(const cri::Container& container) {
  jobs::RequestedContainer requested;
  requested.name = container.name;
  requested.id = container.id;
  requested.image = container.image;
  requested.image_ref = container.image_ref;
  requested.image_id = container.image_id;
  requested.created_at_ns = container.created_at_ns;
  requested.config_json = container.config_json;
  requested.status_json = container.status_json;
  for (const cri::Mount& mount : container.mounts) {
    requested.mounts.push_back({mount.container_path, mount.host_path, mount.read_only});
  }
  return requested;
}

bool HasLaterAttempt(const cri::Container& container,
                     const std::vector<cri::Container>& containers) {
  return std::any_of(containers.begin(), containers.end(), [&](const cri::Container& other) {
    return other.name == container.name && other.id != container.id &&
           std::tie(other.attempt, other.created_at_ns) >
               std::tie(container.attempt, container.created_at_ns);
  });
}

Status AddContainers(const std::vector<cri::Container>& containers, jobs::CheckpointJob& job) {
  for (const cri::Container& container : containers) {
    if (HasLaterAttempt(container, containers)) continue;
    const bool ended = container.state == cri::ContainerState::kExited;
    if (container.state == cri::ContainerState::kRunning) {
      job.containers.push_back(Describe(container));
    } else if (ended && container.exit_code == 0) {
      job.finished.push_back({container.name, container.image, container.image_ref});
    } else {
      return Status(
          Code::kFailedPrecondition,
          "container " + container.name +
              (ended ? " has ended with exit code " + std::to_string(container.exit_code)
                     : std::string(" has not been started")) +
              "; a pod is checkpointed when each of its containers runs or has ended well",
          Reason::kPodNotRunning);
    }
  }
  if (!job.containers.empty()) return Status();
  return Status(Code::kFailedPrecondition, "the pod has no running container",
                Reason::kPodNotRunning);
}

}  // namespace

// Names of pods and namespaces are DNS labels, so only the length can spoil the archive's name.
std::string DefaultArchiveName(const cri::PodSandbox& pod) {
  static constexpr size_t kPodBytesMax = 180;
  return (pod.namespace_ + "_" + pod.name).substr(0, kPodBytesMax) + NowText("_%Y%m%dT%H%M%SZ");
}

Result<jobs::CheckpointJob> DescribeCheckpointJob(const settings::AgentSettings& config,
                                                  const api::CheckpointRequest& request,
                                                  const cri::PodSandbox& pod,
                                                  const cri::RuntimeVersion& runtime,
                                                  const OperationFacts& operation) {
  const std::string name = pod.namespace_ + "/" + pod.name;
  if (!pod.ready) {
    return Status(Code::kFailedPrecondition,
                  "pod " + name + " does not run: its sandbox has stopped", Reason::kPodNotRunning);
  }
  jobs::CheckpointJob job;
  CRYOPOD_RETURN_IF_ERROR(AddContainers(pod.containers, job).While("pod " + name));
  job.operation_id = operation.id;
  job.archive = operation.archive;
  CRYOPOD_RETURN_IF_ERROR(archive::CheckArchiveName(job.archive));
  job.sandbox_id = pod.id;
  job.pod_name = pod.name;
  job.pod_namespace = pod.namespace_;
  job.pod_uid = pod.uid;
  job.runtime_handler = pod.runtime_handler;
  job.sandbox_config_json = pod.config_json;
  job.runtime_name = runtime.name;
  job.runtime_version = runtime.version;
  job.runtime_root = config.runtime_root;
  job.store_root = config.store_root();
  job.state_dir = config.state_dir;
  job.criu_program = config.criu_program;
  job.criu_tools_dir = config.criu_tools_dir();
  job.stop_source = request.stop_source;
  job.without_volumes = request.without_volumes;
  job.restore_once = request.restore_once;
  job.freeze_budget_ms = config.freeze_budget_ms;
  job.timeout_s = static_cast<uint32_t>(operation.timeout.count());
  return job;
}

}  // namespace cryopod::daemon
