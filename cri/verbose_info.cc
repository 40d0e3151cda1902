#include "cri/verbose_info.h"

#include <google/protobuf/message.h>
#include <google/protobuf/stubs/strutil.h>

#include <cstdint>
#include <limits>
#include <set>
#include <string_view>

#include "agent/json/value.h"
#include "cri/config.pb.h"
#include "cri/config_json.h"

namespace cryopod::cri {
namespace {

// Of an answer about a container: its configuration and OCI spec together.
constexpr json::Limits kLimits{.bytes_max = size_t{16} << 20, .depth_max = 64};

pid_t ReadPid(const json::Value& info) {
  const uint64_t pid = info.At("pid").Number();
  return pid <= static_cast<uint64_t>(std::numeric_limits<pid_t>::max()) ? static_cast<pid_t>(pid)
                                                                         : 0;
}

// Runtimes built with cri-api from 2026-05 on print values of environment variables in base64,
// since the field became `bytes` there. Nothing in the text says which one it is, but the runtime's
// OCI spec beside it holds the same variables in plain text.
void DecodeEnvironment(const json::Value& info, runtime::v1::ContainerConfig* config) {
  const std::vector<std::string> spec = info.At("runtimeSpec").At("process").At("env").Texts();
  const std::set<std::string> environment(spec.begin(), spec.end());
  for (runtime::v1::KeyValue& variable : *config->mutable_envs()) {
    if (environment.count(variable.key() + "=" + variable.value()) > 0) continue;
    std::string plain;
    if (!google::protobuf::Base64Unescape(variable.value(), &plain)) continue;
    if (environment.count(variable.key() + "=" + plain) > 0) variable.set_value(plain);
  }
}

// Reads `config` of the verbose answer into an empty message, where there is one.
template <typename Message>
Result<VerboseInfo> ReadInfo(const std::map<std::string, std::string>& info,
                             void (*mend)(const json::Value&, Message*)) {
  VerboseInfo result;
  const auto entry = info.find("info");
  if (entry == info.end()) return result;
  const Result<json::Value> parsed = json::Parse(entry->second, kLimits);
  if (!parsed.ok() || parsed->object() == nullptr) {
    return Status(Code::kInternal, "the runtime's verbose answer is not a JSON object");
  }
  result.pid = ReadPid(*parsed);
  const json::Value& config = parsed->At("config");
  if (config.object() == nullptr) return result;
  Message message;
  const Status read =
      ParseJson(json::Format(config), "the configuration in the runtime's verbose answer", &message,
                /*ignore_unknown_fields=*/true);
  if (!read.ok()) return Status(Code::kInternal, read.message());
  if (mend != nullptr) mend(*parsed, &message);
  result.config_json = PrintJson(message);
  return result;
}

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

Result<VerboseInfo> ParseSandboxInfo(const std::map<std::string, std::string>& info) {
  return ReadInfo<runtime::v1::PodSandboxConfig>(info, nullptr);
}

Result<VerboseInfo> ParseContainerInfo(const std::map<std::string, std::string>& info) {
  return ReadInfo<runtime::v1::ContainerConfig>(info, DecodeEnvironment);
}

RuntimeConfiguration ParseRuntimeConfiguration(const std::map<std::string, std::string>& info,
                                               const std::vector<std::string>& names) {
  RuntimeConfiguration configuration;
  for (const std::string& name : names) configuration.handlers[name] = {};
  const auto entry = info.find("config");
  if (entry == info.end()) return configuration;
  const Result<json::Value> config = json::Parse(entry->second, kLimits);
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
