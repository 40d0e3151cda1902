#include "agent/daemon/pods/restore_request.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/archive/store/archive_store.h"
#include "agent/daemon/archives/archive_access.h"

namespace cryopod::daemon {
namespace {

using nlohmann::json;

Result<json> ParseRecorded(const std::map<std::string, std::string>& files, const char* name) {
  const auto file = files.find(name);
  if (file == files.end()) {
    return Status(Code::kDataLoss, std::string("the archive holds no ") + name);
  }
  json parsed = json::parse(file->second, nullptr, false);
  if (parsed.is_discarded() || !parsed.is_object()) {
    return Status(Code::kDataLoss, std::string(name) + " in the archive is no JSON object");
  }
  return parsed;
}

// A log directory is a path of the node that wrote the archive: it is made up anew.
void MakeNew(json& sandbox, const archive::PodCheckpoint& checkpoint) {
  const std::string uid = NewUid();
  sandbox["metadata"] = {{"name", checkpoint.pod_name},
                         {"namespace", checkpoint.pod_namespace},
                         {"uid", uid},
                         {"attempt", 0}};
  sandbox["log_directory"] =
      "/var/log/pods/" + checkpoint.pod_namespace + "_" + checkpoint.pod_name + "_" + uid;
}

Result<std::string> RebuildRequest(const settings::AgentSettings& config,
                                   const archive::Archive& archive, Deadline deadline) {
  using Files = std::map<std::string, std::string>;
  CRYOPOD_ASSIGN_OR_RETURN(
      const Files pod_files,
      archive::ReadMetadata(config.unpack_program(), archive, archive.pod_metadata(), deadline));
  CRYOPOD_ASSIGN_OR_RETURN(json sandbox, ParseRecorded(pod_files, "pod.dump"));
  MakeNew(sandbox, archive.checkpoint());
  json containers = json::array();
  for (const archive::ContainerParts& parts : archive.containers()) {
    CRYOPOD_ASSIGN_OR_RETURN(
        const Files files,
        archive::ReadMetadata(config.unpack_program(), archive, parts.metadata, deadline));
    CRYOPOD_ASSIGN_OR_RETURN(json container, ParseRecorded(files, "container-config.json"));
    containers.push_back(std::move(container));
  }
  return json{{"config", sandbox}, {"container_configs", containers}}.dump(
      -1, ' ', false, json::error_handler_t::replace);
}

std::vector<std::pair<std::string, std::string>>::const_iterator FindByName(
    const cri::PodRequest& request, const std::string& name) {
  return std::find_if(request.containers.begin(), request.containers.end(),
                      [&](const auto& candidate) { return candidate.first == name; });
}

}  // namespace

std::string NewUid() {
  std::array<unsigned char, 16> bytes{};
  while (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
  }
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3f) | 0x80);
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    std::array<char, 3> hex{};
    std::snprintf(hex.data(), hex.size(), "%02x", bytes[i]);
    text += hex.data();
  }
  return text;
}

Status MatchContainers(const archive::PodCheckpoint& checkpoint, cri::PodRequest& request) {
  std::vector<std::pair<std::string, std::string>> ordered;
  for (const archive::FinishedContainer& container : checkpoint.finished) {
    const auto found = FindByName(request, container.name);
    if (found != request.containers.end()) ordered.push_back(*found);
  }
  for (const archive::ContainerCheckpoint& container : checkpoint.containers) {
    const auto found = FindByName(request, container.name);
    if (found == request.containers.end()) {
      return Status(Code::kInvalidArgument,
                    "the request has no container " + container.name +
                        ", which the archive holds; container_configs must name the same ones");
    }
    ordered.push_back(*found);
  }
  for (const auto& [name, config] : request.containers) {
    const bool known = std::any_of(ordered.begin(), ordered.end(),
                                   [&name = name](const auto& one) { return one.first == name; });
    if (!known) {
      return Status(Code::kInvalidArgument,
                    "the request has a container " + name + ", which the archive does not hold");
    }
  }
  request.containers = std::move(ordered);
  return Status();
}

Result<cri::PodRequest> BuildPodRequest(const settings::AgentSettings& config,
                                        const archive::Archive& archive,
                                        const std::string& request_json, bool request_from_archive,
                                        Deadline deadline) {
  if (request_json.empty() != request_from_archive) {
    return Status(
        Code::kInvalidArgument,
        "a restore takes either a request (--request FILE) or, explicitly, what the archive"
        " recorded (--request-from-archive)");
  }
  std::string text = request_json;
  if (request_from_archive) {
    CRYOPOD_ASSIGN_OR_RETURN(text, RebuildRequest(config, archive, deadline));
  }
  CRYOPOD_ASSIGN_OR_RETURN(cri::PodRequest request, cri::ParsePodRequest(text));
  CRYOPOD_RETURN_IF_ERROR(CheckNamespace(config, archive, request.pod_namespace));
  CRYOPOD_RETURN_IF_ERROR(MatchContainers(archive.checkpoint(), request));
  return request;
}

}  // namespace cryopod::daemon
