#include "restore/runtime/bundle.h"

#include <utility>

#include "agent/json/value.h"
#include "agent/os/file.h"

namespace cryopod::wrapper {
namespace {

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

const AnnotationKeys* FindKeys(const json::Value& annotations) {
  for (const AnnotationKeys& keys : kAnnotationKeys) {
    if (!annotations.At(keys.type).Text().empty()) return &keys;
  }
  return nullptr;
}

Status Unanswerable(const std::string& why) {
  return Status(Code::kInvalidArgument, std::string("the annotation ") + kRestoreFromAnnotation +
                                            " asks for a restore, but " + why);
}

void ReadNamespaces(const json::Value& linux_section, Request& request) {
  for (const json::Value& entry : linux_section.At("namespaces").Elements()) {
    const std::string type = entry.At("type").Text();
    const std::string path = entry.At("path").Text();
    if (!path.empty()) request.namespace_paths[type] = path;
    if (type == "cgroup" && path.empty()) request.cgroup_namespace = true;
  }
}

Result<std::optional<Request>> FromConfig(const json::Value& config, const std::string& bundle) {
  const json::Value& annotations = config.At("annotations");
  Request request;
  request.restore_from = annotations.At(kRestoreFromAnnotation).Text();
  if (annotations.Find(kRestoreFromAnnotation) == nullptr) return std::optional<Request>();
  if (request.restore_from.empty()) return Unanswerable("it names no archive");
  const AnnotationKeys* keys = FindKeys(annotations);
  if (keys == nullptr) return Unanswerable("the container belongs to no pod of a known runtime");

  const std::string type = annotations.At(keys->type).Text();
  if (type != "sandbox" && type != "container") return Unanswerable("it is on a " + type);
  request.kind = type == "sandbox" ? Request::Kind::kSandbox : Request::Kind::kCreate;
  request.restore_operation = annotations.At(kRestoreOperationAnnotation).Text();
  request.sandbox_id = annotations.At(keys->sandbox_id).Text();
  request.pod_name = annotations.At(keys->pod_name).Text();
  request.pod_namespace = annotations.At(keys->pod_namespace).Text();
  request.pod_uid = annotations.At(keys->pod_uid).Text();
  if (type == "container") request.container_name = annotations.At(keys->container_name).Text();
  if (request.pod_uid.empty()) return Unanswerable("the pod has no UID");
  if (type == "container" && request.container_name.empty()) {
    return Unanswerable("the container has no name");
  }

  request.bundle = bundle;
  const std::string root = config.At("root").At("path").Text();
  request.rootfs = root.starts_with('/') ? root : bundle + "/" + root;
  const json::Value& linux_section = config.At("linux");
  request.cgroups_path = linux_section.At("cgroupsPath").Text();
  ReadNamespaces(linux_section, request);
  request.terminal = config.At("process").At("terminal").IsTrue();
  return std::optional<Request>(std::move(request));
}

}  // namespace

Result<std::optional<Request>> ParseRestoreRequest(std::string_view config_json,
                                                   const std::string& bundle) {
  // Most containers ask for nothing, and their configuration need not be understood.
  if (config_json.find(kRestoreFromAnnotation) == std::string_view::npos) {
    return std::optional<Request>();
  }
  const Result<json::Value> config = json::Parse(config_json);
  if (!config.ok()) return Unanswerable("config.json of the bundle is no JSON");
  return FromConfig(*config, bundle);
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
