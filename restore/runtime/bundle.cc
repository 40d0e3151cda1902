#include "restore/runtime/bundle.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "agent/os/file.h"

namespace cryopod::wrapper {
namespace {

using Json = nlohmann::json;

// The annotations in which a CRI runtime says what a bundle is. containerd today; another runtime
// is another row.
struct AnnotationKeys {
  const char* type;
  const char* sandbox_id;
  const char* pod_name;
  const char* pod_namespace;
  const char* pod_uid;
  const char* container_name;
};

constexpr AnnotationKeys kAnnotationKeys[] = {
    {"io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id",
     "io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.sandbox-namespace",
     "io.kubernetes.cri.sandbox-uid", "io.kubernetes.cri.container-name"},
};

std::string Text(const Json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const Json& Member(const Json& object, const char* key) {
  static const Json none;
  if (!object.is_object()) return none;
  const auto found = object.find(key);
  return found != object.end() ? *found : none;
}

const AnnotationKeys* FindKeys(const Json& annotations) {
  for (const AnnotationKeys& keys : kAnnotationKeys) {
    if (!Text(annotations, keys.type).empty()) return &keys;
  }
  return nullptr;
}

Status Unanswerable(const std::string& why) {
  return Status(Code::kInvalidArgument, std::string("the annotation ") + kRestoreFromAnnotation +
                                            " asks for a restore, but " + why);
}

void ReadNamespaces(const Json& linux_section, Request& request) {
  for (const Json& entry : Member(linux_section, "namespaces")) {
    const std::string type = Text(entry, "type");
    const std::string path = Text(entry, "path");
    if (!path.empty()) request.namespace_paths[type] = path;
    if (type == "cgroup" && path.empty()) request.cgroup_namespace = true;
  }
}

Result<std::optional<Request>> FromConfig(const Json& config, const std::string& bundle) {
  const Json& annotations = Member(config, "annotations");
  Request request;
  request.restore_from = Text(annotations, kRestoreFromAnnotation);
  if (Member(annotations, kRestoreFromAnnotation).is_null()) return std::optional<Request>();
  if (request.restore_from.empty()) return Unanswerable("it names no archive");
  const AnnotationKeys* keys = FindKeys(annotations);
  if (keys == nullptr) return Unanswerable("the container belongs to no pod of a known runtime");

  const std::string type = Text(annotations, keys->type);
  if (type != "sandbox" && type != "container") return Unanswerable("it is on a " + type);
  request.kind = type == "sandbox" ? Request::Kind::kSandbox : Request::Kind::kCreate;
  request.restore_operation = Text(annotations, kRestoreOperationAnnotation);
  request.sandbox_id = Text(annotations, keys->sandbox_id);
  request.pod_name = Text(annotations, keys->pod_name);
  request.pod_namespace = Text(annotations, keys->pod_namespace);
  request.pod_uid = Text(annotations, keys->pod_uid);
  if (type == "container") request.container_name = Text(annotations, keys->container_name);
  if (request.pod_uid.empty()) return Unanswerable("the pod has no UID");
  if (type == "container" && request.container_name.empty()) {
    return Unanswerable("the container has no name");
  }

  request.bundle = bundle;
  const std::string root = Text(Member(config, "root"), "path");
  request.rootfs = root.starts_with('/') ? root : bundle + "/" + root;
  const Json& linux_section = Member(config, "linux");
  request.cgroups_path = Text(linux_section, "cgroupsPath");
  ReadNamespaces(linux_section, request);
  const Json& terminal = Member(Member(config, "process"), "terminal");
  request.terminal = terminal.is_boolean() && terminal.get<bool>();
  return std::optional<Request>(std::move(request));
}

}  // namespace

Result<std::optional<Request>> ParseRestoreRequest(std::string_view config_json,
                                                   const std::string& bundle) {
  // Most containers ask for nothing, and their configuration need not be understood.
  if (config_json.find(kRestoreFromAnnotation) == std::string_view::npos) {
    return std::optional<Request>();
  }
  const Json config = Json::parse(config_json, nullptr, /*allow_exceptions=*/false);
  if (config.is_discarded()) return Unanswerable("config.json of the bundle is no JSON");
  return FromConfig(config, bundle);
}

Result<std::optional<Request>> ReadRestoreRequest(const std::string& bundle) {
  Result<std::string> text = ReadFile(bundle + "/config.json");
  if (!text.ok()) {
    if (text.status().code() == Code::kNotFound) return std::optional<Request>();
    return text.status();
  }
  return ParseRestoreRequest(*text, bundle);
}

}  // namespace cryopod::wrapper
