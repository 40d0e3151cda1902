#include "cri/verbose_info.h"

#include <google/protobuf/message.h>
#include <google/protobuf/stubs/strutil.h>

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "cri/config.pb.h"
#include "cri/config_json.h"

namespace cryopod::cri {
namespace {

using nlohmann::json;

constexpr int kJsonDepthMax = 64;

// Deeper text is refused before it is a tree, since printing a tree recurses.
json ParseBounded(const std::string& text) {
  bool too_deep = false;
  json parsed = json::parse(
      text,
      [&too_deep](int depth, json::parse_event_t, json&) {
        too_deep = too_deep || depth > kJsonDepthMax;
        return !too_deep;
      },
      /*allow_exceptions=*/false);
  return too_deep ? json(json::value_t::discarded) : parsed;
}

pid_t ReadPid(const json& info) {
  const auto pid = info.find("pid");
  if (pid == info.end() || !pid->is_number_unsigned()) return 0;
  const auto number = pid->get<uint64_t>();
  return number <= static_cast<uint64_t>(std::numeric_limits<pid_t>::max())
             ? static_cast<pid_t>(number)
             : 0;
}

// The environment of the process that the runtime made out of the configuration, "KEY=value".
std::set<std::string> ReadSpecEnvironment(const json& info) {
  std::set<std::string> environment;
  const json::json_pointer path("/runtimeSpec/process/env");
  if (!info.contains(path)) return environment;
  for (const json& entry : info.at(path)) {
    if (entry.is_string()) environment.insert(entry.get<std::string>());
  }
  return environment;
}

// Runtimes built with cri-api from 2026-05 on print values of environment variables in base64,
// since the field became `bytes` there. Nothing in the text says which one it is, but the runtime's
// OCI spec beside it holds the same variables in plain text.
void DecodeEnvironment(const json& info, runtime::v1::ContainerConfig* config) {
  const std::set<std::string> environment = ReadSpecEnvironment(info);
  for (runtime::v1::KeyValue& variable : *config->mutable_envs()) {
    if (environment.count(variable.key() + "=" + variable.value()) > 0) continue;
    std::string plain;
    if (!google::protobuf::Base64Unescape(variable.value(), &plain)) continue;
    if (environment.count(variable.key() + "=" + plain) > 0) variable.set_value(plain);
  }
}

// nullptr where there is no such object.
const json* FindConfig(const json& info) {
  const auto config = info.find("config");
  return config != info.end() && config->is_object() ? &*config : nullptr;
}

Result<json> ParseInfo(const std::map<std::string, std::string>& info) {
  const auto entry = info.find("info");
  if (entry == info.end()) return json(json::object());
  json parsed = ParseBounded(entry->second);
  if (!parsed.is_object()) {
    return Status(Code::kInternal, "the runtime's verbose answer is not a JSON object");
  }
  return parsed;
}

Status ReadConfig(const json& config, google::protobuf::Message* message) {
  const std::string text = config.dump(-1, ' ', false, json::error_handler_t::replace);
  const Status parsed =
      ParseLenientJson(text, "the configuration in the runtime's verbose answer", message);
  return parsed.ok() ? parsed : Status(Code::kInternal, parsed.message());
}

}  // namespace

Result<VerboseInfo> ParseSandboxInfo(const std::map<std::string, std::string>& info) {
  CRYOPOD_ASSIGN_OR_RETURN(const json parsed, ParseInfo(info));
  VerboseInfo result;
  result.pid = ReadPid(parsed);
  if (const json* config = FindConfig(parsed)) {
    runtime::v1::PodSandboxConfig message;
    CRYOPOD_RETURN_IF_ERROR(ReadConfig(*config, &message));
    result.config_json = PrintJson(message);
  }
  return result;
}

Result<VerboseInfo> ParseContainerInfo(const std::map<std::string, std::string>& info) {
  CRYOPOD_ASSIGN_OR_RETURN(const json parsed, ParseInfo(info));
  VerboseInfo result;
  result.pid = ReadPid(parsed);
  if (const json* config = FindConfig(parsed)) {
    runtime::v1::ContainerConfig message;
    CRYOPOD_RETURN_IF_ERROR(ReadConfig(*config, &message));
    DecodeEnvironment(parsed, &message);
    result.config_json = PrintJson(message);
  }
  return result;
}

}  // namespace cryopod::cri
