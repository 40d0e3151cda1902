#include "cri/runtime_configuration.h"

#include <nlohmann/json.hpp>
#include <string_view>

namespace cryopod::cri {
namespace {

using nlohmann::json;

std::string Text(const json& object, const char* key) {
  const auto value = object.find(key);
  return value != object.end() && value->is_string() ? value->get<std::string>() : "";
}

std::vector<std::string> Texts(const json& object, const char* key) {
  std::vector<std::string> texts;
  const auto list = object.find(key);
  if (list == object.end() || !list->is_array()) return texts;
  for (const json& text : *list) {
    if (text.is_string()) texts.push_back(text.get<std::string>());
  }
  return texts;
}

RuntimeHandler ReadHandler(const json& runtime) {
  RuntimeHandler handler;
  handler.type = Text(runtime, "runtimeType");
  handler.snapshotter = Text(runtime, "snapshotter");
  handler.pod_annotations = Texts(runtime, "PodAnnotations");
  handler.container_annotations = Texts(runtime, "ContainerAnnotations");
  if (const auto options = runtime.find("options");
      options != runtime.end() && options->is_object()) {
    handler.program = Text(*options, "BinaryName");
  }
  return handler;
}

}  // namespace

RuntimeConfiguration ParseRuntimeConfiguration(const std::map<std::string, std::string>& info,
                                               const std::vector<std::string>& names) {
  RuntimeConfiguration configuration;
  for (const std::string& name : names) configuration.handlers[name] = {};
  const auto entry = info.find("config");
  if (entry == info.end()) return configuration;
  const json config = json::parse(entry->second, nullptr, /*allow_exceptions=*/false);
  const json::json_pointer path("/containerd/runtimes");
  if (!config.is_object() || !config.contains(path) || !config.at(path).is_object()) {
    return configuration;
  }
  configuration.shown = true;
  for (const auto& [name, runtime] : config.at(path).items()) {
    if (runtime.is_object()) configuration.handlers[name] = ReadHandler(runtime);
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
