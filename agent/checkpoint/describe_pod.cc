#include "agent/checkpoint/describe_pod.h"

#include "agent/json/value.h"
#include "agent/os/text.h"

namespace cryopod::checkpoint {
archive::PodCheckpoint DescribePod(const jobs::CheckpointJob& job, const ResolvedPod& pod,
                                   const std::vector<CapturedContainer>& captured,
                                   const std::vector<uint64_t>& sizes_bytes,
                                   archive::NodeFacts node, const std::string& created) {
  archive::PodCheckpoint checkpoint;
  checkpoint.created = created;
  checkpoint.pod_name = job.pod_name;
  checkpoint.pod_namespace = job.pod_namespace;
  checkpoint.pod_uid = job.pod_uid;
  checkpoint.sandbox_id = job.sandbox_id;
  checkpoint.runtime_handler = job.runtime_handler;
  checkpoint.hostname = pod.hostname;
  checkpoint.shares_pid_namespace = pod.shares_pid_namespace;
  checkpoint.node = std::move(node);
  checkpoint.finished = job.finished;
  for (size_t i = 0; i < pod.targets.size(); ++i) {
    const jobs::RequestedContainer& requested = pod.targets[i].requested;
    archive::ContainerCheckpoint container;
    container.name = requested.name;
    container.id = requested.id;
    container.image = requested.image;
    container.image_ref = requested.image_ref;
    container.mounts = requested.mounts;
    container.processes = static_cast<uint32_t>(captured[i].processes.size());
    container.tasks = captured[i].tasks;
    for (const criu::RecordLock& lock : captured[i].record_locks) {
      container.record_locks.push_back({static_cast<uint32_t>(lock.pid),
                                        static_cast<uint32_t>(lock.fd), lock.exclusive, lock.start,
                                        lock.length});
    }
    container.images_bytes = sizes_bytes[i];
    container.rootfs_bytes = captured[i].rootfs_bytes;
    checkpoint.containers.push_back(std::move(container));
  }
  return checkpoint;
}

std::map<std::string, std::string> ContainerMetadata(const jobs::RequestedContainer& container,
                                                     const std::string& oci_runtime,
                                                     const std::string& spec_json,
                                                     const std::string& created) {
  const std::string created_at = FormatTime(std::chrono::nanoseconds(container.created_at_ns));
  static constexpr char kNever[] = "0001-01-01T00:00:00Z";
  const json::Value config{json::Value::Object{{"id", {container.id}},
                                               {"name", {container.name}},
                                               {"rootfsImage", {container.image}},
                                               {"rootfsImageRef", {container.image_ref}},
                                               {"rootfsImageName", {container.image}},
                                               {"runtime", {oci_runtime}},
                                               {"createdTime", {created_at}},
                                               {"checkpointedTime", {created}},
                                               {"restoredTime", {kNever}},
                                               {"restored", {false}}}};
  const json::Value status{json::Value::Object{{"CreatedAt", {container.created_at_ns}},
                                               {"StartedAt", {container.created_at_ns}},
                                               {"FinishedAt", {int64_t{0}}},
                                               {"ExitCode", {int64_t{0}}},
                                               {"Pid", {int64_t{0}}},
                                               {"Reason", {""}},
                                               {"Message", {""}}}};
  return {{"config.dump", json::Format(config, 2)},
          {"status", json::Format(status, 2)},
          {"status.dump", container.status_json},
          {"spec.dump", spec_json},
          {"container-config.json", container.config_json}};
}

std::map<std::string, std::string> PodMetadata(const jobs::CheckpointJob& job) {
  json::Value options{json::Value::Object{{"version", {int64_t{1}}},
                                          {"containers", {json::Value::Object()}},
                                          {"annotations", {json::Value::Object()}}}};
  for (const jobs::RequestedContainer& container : job.containers) {
    options.Make("containers").Make(container.name).value = container.id + "-" + container.name;
  }
  return {{"pod.dump", job.sandbox_config_json}, {"pod.options", json::Format(options, 2)}};
}

}  // namespace cryopod::checkpoint
