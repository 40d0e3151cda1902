#include "restore/runtime/settings.h"

#include <cstdlib>

#include "agent/os/file.h"
#include "agent/os/text.h"
#include "restore/runtime/protocol/key_values.h"

namespace cryopod::wrapper {
namespace {

constexpr char kDefaultPath[] = "/etc/cryopod/runtime.conf";
constexpr int kTimeoutMsMax = 3'600'000;

Status SetTimeout(const std::string& key, const std::string& value, std::chrono::milliseconds& to) {
  int number = 0;
  if (!ParseNumber(value, number) || number <= 0 || number > kTimeoutMsMax) {
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

Status Set(const std::string& key, const std::string& value, Settings& settings) {
  if (key == "runtime") {
    settings.runtime = value;
    return value.empty() ? Status(Code::kInvalidArgument, key + " names no program") : Status();
  }
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
  const Result<std::string> text = ReadFile(path, kKeyValuesBytesMax);
  if (text.status().code() == Code::kNotFound && named == nullptr) return Settings();
  if (!text.ok()) return text.status();
  return ParseSettings(*text).While("reading " + path);
}

}  // namespace cryopod::wrapper
