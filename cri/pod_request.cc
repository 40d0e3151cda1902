#include "cri/pod_request.h"

#include <set>

#include "cri/api.pb.h"
#include "cri/config_json.h"

namespace cryopod::cri {
namespace {

namespace v1 = runtime::v1;

// The other fields of a RestorePodRequest say which archive and which handler: here the caller says
// that beside the request, and one of the two would be ignored in silence.
Status RefuseOtherFields(const v1::RestorePodRequest& request) {
  const char* field = !request.checkpoint_path().empty()   ? "checkpoint_path"
                      : !request.runtime_handler().empty() ? "runtime_handler"
                      : request.options_size() > 0         ? "options"
                                                           : nullptr;
  if (field == nullptr) return Status();
  return Status(Code::kInvalidArgument, std::string("the pod request has \"") + field +
                                            "\"; it may hold \"config\" and "
                                            "\"container_configs\" only");
}

Status ReadContainers(const v1::RestorePodRequest& request, PodRequest* result) {
  if (request.container_configs_size() == 0) {
    return Status(Code::kInvalidArgument, "the pod request has no \"container_configs\"");
  }
  std::set<std::string> names;
  for (const v1::ContainerConfig& config : request.container_configs()) {
    const std::string& name = config.metadata().name();
    if (name.empty()) {
      return Status(Code::kInvalidArgument,
                    "a container of the pod request has no \"metadata\".\"name\"");
    }
    if (!names.insert(name).second) {
      return Status(Code::kInvalidArgument,
                    "container \"" + name + "\" stands twice in the pod request");
    }
    result->containers.emplace_back(name, PrintJson(config));
  }
  return Status();
}

}  // namespace

Result<std::string> AddAnnotations(const std::string& sandbox_config_json,
                                   const std::map<std::string, std::string>& annotations) {
  v1::PodSandboxConfig config;
  CRYOPOD_RETURN_IF_ERROR(ParseJson(sandbox_config_json, "the sandbox configuration", &config));
  for (const auto& [key, value] : annotations) (*config.mutable_annotations())[key] = value;
  return PrintJson(config);
}

Result<PodRequest> ParsePodRequest(const std::string& json) {
  v1::RestorePodRequest request;
  CRYOPOD_RETURN_IF_ERROR(ParseJson(json, "the pod request", &request));
  CRYOPOD_RETURN_IF_ERROR(RefuseOtherFields(request));
  const v1::PodSandboxMetadata& metadata = request.config().metadata();
  if (metadata.name().empty() || metadata.namespace_().empty() || metadata.uid().empty()) {
    return Status(Code::kInvalidArgument,
                  "the pod request needs \"name\", \"namespace\" and \"uid\" in "
                  "\"config\".\"metadata\"");
  }
  PodRequest result;
  result.sandbox_config_json = PrintJson(request.config());
  result.pod_name = metadata.name();
  result.pod_namespace = metadata.namespace_();
  result.pod_uid = metadata.uid();
  result.log_directory = request.config().log_directory();
  CRYOPOD_RETURN_IF_ERROR(ReadContainers(request, &result));
  return result;
}

}  // namespace cryopod::cri
