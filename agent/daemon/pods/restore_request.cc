#include "agent/daemon/pods/restore_request.h"

#include <algorithm>
#include <map>
#include <utility>

#include "agent/archive/store/archive_store.h"
#include "agent/daemon/archives/archive_access.h"
#include "agent/json/value.h"
#include "agent/os/file.h"
#include "restore/runtime/protocol/differences.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::daemon {
namespace {

using Files = std::map<std::string, std::string>;

Result<json::Value> Recorded(const Files& files, const char* name) {
  const auto file = files.find(name);
  if (file == files.end()) {
    return Status(Code::kDataLoss, std::string("the archive holds no ") + name);
  }
  return json::Parse(file->second).While(std::string(name) + " in the archive");
}

void ForgetRestore(json::Value& annotations) {
  auto* const members = std::get_if<json::Value::Object>(&annotations.value);
  if (members == nullptr) return;
  std::erase_if(*members, [](const json::Member& member) {
    return member.key == wrapper::kRestoreOnceAnnotation ||
           member.key == wrapper::kOnFailureAnnotation ||
           member.key == wrapper::kDifferencesAnnotation;
  });
}

Result<std::string> RebuildRequest(const settings::AgentSettings& config,
                                   const archive::Archive& archive, Deadline deadline) {
  const auto read = [&](const archive::Descriptor& metadata) {
    return archive::ReadRequestDocuments(config.unpack_program(), archive, metadata, deadline);
  };
  CRYOPOD_ASSIGN_OR_RETURN(const Files pod_files, read(archive.pod_metadata()));
  CRYOPOD_ASSIGN_OR_RETURN(json::Value sandbox, Recorded(pod_files, "pod.dump"));
  const archive::PodCheckpoint& source = archive.checkpoint();
  CRYOPOD_ASSIGN_OR_RETURN(const std::string uid, NewUid());
  sandbox.Make("metadata") = {json::Value::Object{{"name", {source.pod_name}},
                                                  {"namespace", {source.pod_namespace}},
                                                  {"uid", {uid}},
                                                  {"attempt", {uint64_t{0}}}}};
  // A path of the node that wrote the archive: it is made up anew.
  sandbox.Make("log_directory") = {"/var/log/pods/" + source.pod_namespace + "_" + source.pod_name +
                                   "_" + uid};
  // How a pod is restored is no part of what it was: nobody has asked for that now.
  if (sandbox.Find("annotations") != nullptr) ForgetRestore(sandbox.Make("annotations"));
  json::Value::Array containers;
  for (const archive::ContainerParts& parts : archive.containers()) {
    CRYOPOD_ASSIGN_OR_RETURN(const Files files, read(parts.metadata));
    CRYOPOD_ASSIGN_OR_RETURN(json::Value container, Recorded(files, "container-config.json"));
    containers.push_back(std::move(container));
  }
  return json::Format({json::Value::Object{{"config", std::move(sandbox)},
                                           {"container_configs", {std::move(containers)}}}});
}

}  // namespace

Result<std::string> NewUid() {
  CRYOPOD_ASSIGN_OR_RETURN(std::string line, ReadFile("/proc/sys/kernel/random/uuid"));
  line.resize(line.find_last_not_of('\n') + 1);
  return line;
}

Status MatchContainers(const archive::PodCheckpoint& checkpoint, cri::PodRequest& request) {
  std::vector<std::pair<std::string, std::string>> ordered;
  // Names are there once.
  const auto take = [&](const std::string& name) {
    const auto found = std::find_if(request.containers.begin(), request.containers.end(),
                                    [&](const auto& one) { return one.first == name; });
    if (found == request.containers.end()) return false;
    ordered.push_back(std::move(*found));
    request.containers.erase(found);
    return true;
  };
  for (const archive::FinishedContainer& container : checkpoint.finished) take(container.name);
  for (const archive::ContainerCheckpoint& container : checkpoint.containers) {
    if (take(container.name)) continue;
    return Status(Code::kInvalidArgument,
                  "the request has no container " + container.name +
                      ", which the archive holds; container_configs must name the same ones");
  }
  if (!request.containers.empty()) {
    return Status(Code::kInvalidArgument, "the request has a container " +
                                              request.containers.front().first +
                                              ", which the archive does not hold");
  }
  request.containers = std::move(ordered);
  return Status();
}

Result<cri::PodRequest> BuildPodRequest(const settings::AgentSettings& config,
                                        const archive::Archive& archive,
                                        const api::RestoreRequest& asked, Deadline deadline) {
  if (asked.request_json.empty() != asked.request_from_archive) {
    return Status(
        Code::kInvalidArgument,
        "a restore takes either a request (--request FILE) or, explicitly, what the archive"
        " recorded (--request-from-archive)");
  }
  CRYOPOD_RETURN_IF_ERROR(CheckOrigin(config, archive));
  std::string text = asked.request_json;
  if (asked.request_from_archive) {
    CRYOPOD_ASSIGN_OR_RETURN(text, RebuildRequest(config, archive, deadline));
  }
  CRYOPOD_ASSIGN_OR_RETURN(cri::PodRequest request, cri::ParsePodRequest(text));
  CRYOPOD_RETURN_IF_ERROR(CheckNamespace(config, archive, request.pod_namespace));
  CRYOPOD_RETURN_IF_ERROR(MatchContainers(archive.checkpoint(), request));
  if (asked.differences.empty()) return request;
  CRYOPOD_RETURN_IF_ERROR(wrapper::ParseDifferences(asked.differences).status());
  CRYOPOD_ASSIGN_OR_RETURN(
      request.sandbox_config_json,
      cri::AddAnnotations(request.sandbox_config_json,
                          {{wrapper::kDifferencesAnnotation, asked.differences}}));
  return request;
}

}  // namespace cryopod::daemon
