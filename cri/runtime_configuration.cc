#include "cri/runtime_configuration.h"

#include <string_view>

#include "agent/json/value.h"
#include "cri/verbose_info.h"

namespace cryopod::cri {
namespace {

RuntimeHandler ReadHandler(const json::Value& runtime) {
  RuntimeHandler handler;
  handler.type = runtime.At("runtimeType").Text();
  handler.program = runtime.At("options").At("BinaryName").Text();
  handler.snapshotter = runtime.At("snapshotter").Text();
  handler.pod_annotations = runtime.At("PodAnnotations").Texts();
  handler.container_annotations = runtime.At("ContainerAnnotations").Texts();
  return handler;
}

}  // namespace

RuntimeConfiguration ParseRuntimeConfiguration(const std::map<std::string, std::string>& info,
                                               const std::vector<std::string>& names) {
  RuntimeConfiguration configuration;
  for (const std::string& name : names) configuration.handlers[name] = {};
  const auto entry = info.find("config");
  if (entry == info.end()) return configuration;
  const Result<json::Value> config = json::Parse(entry->second, kVerboseLimits);
  if (!config.ok()) return configuration;
  const json::Value& runtimes = config->At("containerd").At("runtimes");
  configuration.shown = runtimes.object() != nullptr;
  for (const json::Member& runtime : runtimes.Members()) {
    if (runtime.value.object() == nullptr) continue;
    configuration.handlers[runtime.key] = ReadHandler(runtime.value);
  }
  return configuration;
}

std::string SnapshotterOf(const std::string& mountpoint) {
  static constexpr std::string_view kMark = "io.containerd.snapshotter.v1.";
  const size_t at = mountpoint.rfind(kMark);
  if (at == std::string::npos) return "";
  const std::string name = mountpoint.substr(at + kMark.size());
  return name.find('/') == std::string::npos ? name : "";
}

}  // namespace cryopod::cri
