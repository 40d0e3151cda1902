#include "agent/ctl/pod_requests.h"

#include <chrono>
#include <utility>

#include "agent/os/directory.h"
#include "cri/pod_request.h"
#include "cri/runtime_client.h"

namespace cryopod::ctl {
namespace {

constexpr std::chrono::seconds kRollbackTimeout{30};

Status StartContainers(cri::RuntimeClient& runtime, const cri::PodRequest& request, RunningPod* pod,
                       Deadline deadline) {
  for (const auto& [name, config] : request.containers) {
    CRYOPOD_ASSIGN_OR_RETURN(
        const std::string id,
        runtime.CreateContainer(pod->sandbox_id, config, request.sandbox_config_json, deadline)
            .While("container " + name));
    CRYOPOD_RETURN_IF_ERROR(runtime.StartContainer(id, deadline).While("container " + name));
    pod->containers[name] = id;
  }
  return Status();
}

Status Remove(cri::RuntimeClient& runtime, const std::string& sandbox, Deadline deadline) {
  CRYOPOD_RETURN_IF_ERROR(runtime.StopPodSandbox(sandbox, deadline));
  return runtime.RemovePodSandbox(sandbox, deadline);
}

}  // namespace

Result<RunningPod> RunPod(const std::string& socket, const std::string& request_json,
                          const std::string& handler, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const cri::PodRequest request, cri::ParsePodRequest(request_json));
  // The kubelet's work, without which a runtime cannot write the logs.
  if (request.log_directory.starts_with('/')) {
    CRYOPOD_RETURN_IF_ERROR(MakeDirectories(request.log_directory, 0755));
  }
  cri::RuntimeClient runtime(socket);
  RunningPod pod;
  CRYOPOD_ASSIGN_OR_RETURN(pod.sandbox_id,
                           runtime.RunPodSandbox(request.sandbox_config_json, handler, deadline));
  const Status started = StartContainers(runtime, request, &pod, deadline);
  if (started.ok()) return pod;
  const Status removed = Remove(runtime, pod.sandbox_id, Deadline::After(kRollbackTimeout));
  return removed.ok()
             ? started
             : Status(started.code(), started.message() + "; and sandbox " + pod.sandbox_id +
                                          " is left: " + removed.message());
}

Status RemovePod(const std::string& socket, const std::string& pod, Deadline deadline) {
  cri::RuntimeClient runtime(socket);
  CRYOPOD_ASSIGN_OR_RETURN(const cri::PodSandbox found, runtime.FindPod(pod, deadline));
  return Remove(runtime, found.id, deadline);
}

}  // namespace cryopod::ctl
