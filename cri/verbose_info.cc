#include "cri/verbose_info.h"

#include <google/protobuf/message.h>
#include <google/protobuf/stubs/strutil.h>

#include <cstdint>
#include <limits>
#include <set>
#include <vector>

#include "cri/config.pb.h"
#include "cri/config_json.h"

namespace cryopod::cri {
namespace {

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
  const Result<json::Value> parsed = json::Parse(entry->second, kVerboseLimits);
  if (!parsed.ok() || parsed->object() == nullptr) {
    return Status(Code::kInternal, "the runtime's verbose answer is not a JSON object");
  }
  result.pid = ReadPid(*parsed);
  const json::Value& config = parsed->At("config");
  if (config.object() == nullptr) return result;
  Message message;
  const Status read = ParseLenientJson(
      json::Format(config), "the configuration in the runtime's verbose answer", &message);
  if (!read.ok()) return Status(Code::kInternal, read.message());
  if (mend != nullptr) mend(*parsed, &message);
  result.config_json = PrintJson(message);
  return result;
}

}  // namespace

Result<VerboseInfo> ParseSandboxInfo(const std::map<std::string, std::string>& info) {
  return ReadInfo<runtime::v1::PodSandboxConfig>(info, nullptr);
}

Result<VerboseInfo> ParseContainerInfo(const std::map<std::string, std::string>& info) {
  return ReadInfo<runtime::v1::ContainerConfig>(info, DecodeEnvironment);
}

}  // namespace cryopod::cri
