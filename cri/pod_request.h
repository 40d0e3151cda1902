#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::cri {

// Adds `annotations` to a PodSandboxConfig in JSON. Errors: kInvalidArgument.
Result<std::string> AddAnnotations(const std::string& sandbox_config_json,
                                   const std::map<std::string, std::string>& annotations);

// RestorePodRequest's shape in JSON {"config": …, "container_configs": […]} taken apart and
// checked: unknown fields are refused by name, container names are unique and not empty.
struct PodRequest {
  std::string sandbox_config_json;
  std::string pod_name;
  std::string pod_namespace;
  std::string pod_uid;
  std::string log_directory;
  std::vector<std::pair<std::string, std::string>> containers;  // name → ContainerConfig JSON
};
Result<PodRequest> ParsePodRequest(const std::string& json);

}  // namespace cryopod::cri
