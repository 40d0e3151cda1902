#include "restore/runtime/bundle.h"

#include <utility>

#include "agent/json/value.h"
#include "agent/os/file.h"
#include "agent/os/text.h"
#include "restore/runtime/protocol/differences.h"

namespace cryopod::wrapper {
namespace {

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

// An annotation that has one of two values, and says `second` with its second; absent it says no.
Result<bool> ReadChoice(const json::Value& annotations, const char* name, const std::string& first,
                        const std::string& second) {
  const json::Value* const value = annotations.Find(name);
  if (value == nullptr || value->Text() == first) return false;
  if (value->Text() == second) return true;
  return Unanswerable(std::string(name) + " is \"" + Printable(value->Text(), 64) +
                      "\"; it may be " + first + " or " + second);
}

// How the pod is to be restored. A word that is not understood must not become another one's.
Status ReadOptions(const json::Value& annotations, Request& request) {
  CRYOPOD_ASSIGN_OR_RETURN(request.restore_once,
                           ReadChoice(annotations, kRestoreOnceAnnotation, "false", "true"));
  CRYOPOD_ASSIGN_OR_RETURN(request.cold_start,
                           ReadChoice(annotations, kOnFailureAnnotation, "fail", "cold-start"));
  request.differences = annotations.At(kDifferencesAnnotation).Text();
  const Status parsed = ParseDifferences(request.differences).status();
  return parsed.ok()
             ? parsed
             : Unanswerable(std::string("in ") + kDifferencesAnnotation + " " + parsed.message());
}

Result<std::optional<Request>> FromConfig(const json::Value& config, const std::string& bundle) {
  const json::Value& annotations = config.At("annotations");
  if (annotations.Find(kRestoreFromAnnotation) == nullptr) return std::optional<Request>();
  // As containerd says what a bundle is.
  const auto cri = [&](const std::string& name) {
    return annotations.At("io.kubernetes.cri." + name).Text();
  };
  Request request;
  request.restore_from = annotations.At(kRestoreFromAnnotation).Text();
  if (request.restore_from.empty()) return Unanswerable("it names no archive");
  const std::string type = cri("container-type");
  if (type.empty()) return Unanswerable("the container belongs to no pod of a known runtime");
  if (type != "sandbox" && type != "container") return Unanswerable("it is on a " + type);
  request.kind = type == "sandbox" ? Request::Kind::kSandbox : Request::Kind::kCreate;
  request.restore_operation = annotations.At(kRestoreOperationAnnotation).Text();
  request.sandbox_id = cri("sandbox-id");
  request.pod_name = cri("sandbox-name");
  request.pod_namespace = cri("sandbox-namespace");
  request.pod_uid = cri("sandbox-uid");
  if (type == "container") request.container_name = cri("container-name");
  CRYOPOD_RETURN_IF_ERROR(ReadOptions(annotations, request));
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
  return std::optional<Request>(std::move(request));
}

}  // namespace

Result<std::optional<Request>> ReadRestoreRequest(const std::string& bundle) {
  const Result<std::string> text = ReadFile(bundle + "/config.json");
  if (text.status().code() == Code::kNotFound) return std::optional<Request>();
  if (!text.ok()) return text.status();
  // Most containers ask for nothing, and their configuration need not be understood.
  if (text->find(kRestoreFromAnnotation) == std::string::npos) return std::optional<Request>();
  const Result<json::Value> config = json::Parse(*text);
  if (!config.ok()) return Unanswerable("config.json of the bundle is no JSON");
  return FromConfig(*config, bundle);
}

}  // namespace cryopod::wrapper
