#include "restore/runtime/settings.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "agent/os/file.h"
#include "restore/runtime/protocol/key_values.h"

namespace cryopod::wrapper {
namespace {

constexpr char kDefaultPath[] = "/etc/cryopod/runtime.conf";
constexpr int kTimeoutMsMax = 3'600'000;

Status SetTimeout(const std::string& key, const std::string& value, std::chrono::milliseconds& to) {
  int number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number <= 0 ||
      number > kTimeoutMsMax) {
    return Status(Code::kInvalidArgument, key + " must be 1 to 3600000 milliseconds");
  }
  to = std::chrono::milliseconds(number);
  return Status();
}

Status SetPath(const std::string& key, const std::string& value, std::string& to) {
  if (!value.starts_with('/')) {
    return Status(Code::kInvalidArgument, key + " must be an absolute path");
  }
  to = value;
  return Status();
}

Status SetProgram(const std::string& key, const std::string& value, std::string& to) {
  if (value.empty()) return Status(Code::kInvalidArgument, key + " names no program");
  to = value;
  return Status();
}

Status Set(const std::string& key, const std::string& value, Settings& settings) {
  if (key == "runtime") return SetProgram(key, value, settings.runtime);
  if (key == "agent_socket") return SetPath(key, value, settings.agent_socket);
  if (key == "state_dir") return SetPath(key, value, settings.state_dir);
  if (key == "answer_timeout_ms") return SetTimeout(key, value, settings.answer_timeout);
  if (key == "create_timeout_ms") return SetTimeout(key, value, settings.create_timeout);
  return Status(Code::kInvalidArgument, "unknown key " + key);
}

}  // namespace

Result<Settings> ParseSettings(const std::string& text) {
  CRYOPOD_ASSIGN_OR_RETURN(const KeyValues values, ParseKeyValues(text));
  Settings settings;
  for (const auto& [key, value] : values) CRYOPOD_RETURN_IF_ERROR(Set(key, value, settings));
  return settings;
}

Result<Settings> ReadSettings() {
  const char* named = std::getenv("CRYOPOD_RUNTIME_CONFIG");
  const std::string path = named != nullptr ? named : kDefaultPath;
  Result<std::string> text = ReadFile(path, kKeyValuesBytesMax);
  if (!text.ok()) {
    if (text.status().code() == Code::kNotFound && named == nullptr) return Settings();
    return text.status();
  }
  return ParseSettings(*text).While("reading " + path);
}

}  // namespace cryopod::wrapper
