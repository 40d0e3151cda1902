#include "agent/ctl/pod_requests.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/os/directory.h"
#include "agent/terminal/text.h"
#include "cri/pod_request.h"
#include "cri/runtime_client.h"

namespace cryopod::ctl {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds kRollbackTimeout{30};

std::string Dump(const json& answer) {
  return answer.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

// The kubelet's work, without which a runtime cannot write the logs.
Status MakeLogDirectory(const std::string& sandbox_config) {
  const json config = json::parse(sandbox_config, nullptr, /*allow_exceptions=*/false);
  for (const char* name : {"log_directory", "logDirectory"}) {
    const auto field = config.is_object() ? config.find(name) : config.end();
    if (!config.is_object() || field == config.end() || !field->is_string()) continue;
    const std::string directory = field->get<std::string>();
    if (directory.starts_with('/')) CRYOPOD_RETURN_IF_ERROR(MakeDirectories(directory, 0755));
  }
  return Status();
}

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
  CRYOPOD_RETURN_IF_ERROR(MakeLogDirectory(request.sandbox_config_json));
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

std::string ToText(const RunningPod& pod) {
  std::vector<std::vector<std::string>> rows = {{"CONTAINER", "ID"}};
  for (const auto& [name, id] : pod.containers) rows.push_back({name, id});
  return "pod sandbox " + terminal::OneLine(pod.sandbox_id) + "\n\n" + terminal::FormatTable(rows);
}

std::string ToJson(const RunningPod& pod) {
  return Dump({{"pod_sandbox_id", pod.sandbox_id}, {"containers", pod.containers}});
}

std::string RemovalToJson(const std::string& pod) { return Dump({{"removed", pod}}); }

}  // namespace cryopod::ctl
