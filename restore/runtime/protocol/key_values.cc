#include "restore/runtime/protocol/key_values.h"

#include <algorithm>

#include "agent/os/text.h"

namespace cryopod::wrapper {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

bool IsKey(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

Status BadLine(int number) {
  return Status(Code::kInvalidArgument,
                "line " + std::to_string(number) + " is not of the form key=value");
}

}  // namespace

Result<KeyValues> ParseKeyValues(std::string_view text) {
  KeyValues values;
  int number = 0;
  for (const std::string_view untrimmed : SplitLines(text)) {
    const std::string_view line = Trimmed(untrimmed);
    ++number;
    if (line.empty() || line.front() == '#') continue;
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) return BadLine(number);
    const std::string_view key = Trimmed(line.substr(0, equals));
    const std::string_view value = Trimmed(line.substr(equals + 1));
    if (!IsKey(key) || HasControlCharacters(value)) return BadLine(number);
    if (!values.emplace(key, value).second) {
      return Status(Code::kInvalidArgument,
                    "line " + std::to_string(number) + " sets " + std::string(key) + " again");
    }
  }
  return values;
}

Result<std::string> FormatKeyValues(const KeyValues& values) {
  std::string text;
  for (const auto& [key, value] : values) {
    if (!IsKey(key) || HasControlCharacters(value) || Trimmed(value) != value) {
      return Status(Code::kInvalidArgument,
                    "the value of " + key + " cannot be written on one line");
    }
    text += key;
    text += '=';
    text += value;
    text += '\n';
  }
  return text;
}

std::string Get(const KeyValues& values, const std::string& key) {
  const auto found = values.find(key);
  return found == values.end() ? std::string() : found->second;
}

}  // namespace cryopod::wrapper
