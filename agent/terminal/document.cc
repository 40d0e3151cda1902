#include "agent/terminal/document.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <limits>

#include "agent/json/value.h"
#include "agent/os/text.h"

namespace cryopod::terminal {
namespace {

// It is an answer of our own; what it may hold was limited where it came in.
constexpr size_t kAny = std::numeric_limits<size_t>::max();
constexpr json::Limits kAnswerLimits = {
    .bytes_max = kAny, .depth_max = 256, .nodes_max = kAny, .string_bytes_max = kAny};

constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kPlainRest = "abcdefghijklmnopqrstuvwxyz0123456789_./@:-";
// Booleans and null, of YAML 1.1 too.
constexpr std::string_view kReserved[] = {"null", "true", "false", "yes", "no",
                                          "on",   "off",  "y",     "n"};

// A number or a date begins with no letter; "key: value" and comments hold blanks.
bool IsPlain(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return !lower.empty() && (kLetters.find(lower[0]) != std::string_view::npos || lower[0] == '/') &&
         lower.find_first_not_of(kPlainRest) == std::string::npos && lower.back() != ':' &&
         std::ranges::find(kReserved, lower) == std::end(kReserved);
}

// Line separators and byte order marks are characters to JSON, and no text to YAML.
bool MustBeEscaped(uint32_t code_point) {
  return code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0) || code_point == 0x2028 ||
         code_point == 0x2029 || code_point == 0xfeff || code_point == 0xfffe ||
         code_point == 0xffff;
}

std::string FormatString(std::string_view text) {
  if (IsPlain(text)) return std::string(text);
  std::string quoted = "\"";
  while (!text.empty()) {
    const Utf8Sequence next = DecodeUtf8(text);
    const size_t length = std::max<size_t>(next.length, 1);
    if (text[0] == '"' || text[0] == '\\') quoted += '\\';
    if (MustBeEscaped(next.code_point)) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", next.code_point & 0xffffu);
      quoted += escaped;
    } else {
      quoted += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return quoted + "\"";
}

bool IsBlock(const json::Value& value) {
  return !value.Elements().empty() || !value.Members().empty();
}

// Numbers, words, and what is empty stand in YAML as in JSON.
std::string FormatScalar(const json::Value& value) {
  return value.string() != nullptr ? FormatString(*value.string()) : json::Format(value);
}

// The first line's indentation stands already: it may be that of "- ".
void AppendBlock(const json::Value& value, size_t indent, std::string& out) {
  const size_t begin = out.size();
  const auto start_line = [&](const std::string& head) {
    if (out.size() > begin) out.append(indent, ' ');
    out += head;
  };
  for (const json::Value& element : value.Elements()) {
    start_line("- ");
    if (IsBlock(element)) {
      AppendBlock(element, indent + 2, out);
    } else {
      out += FormatScalar(element) + "\n";
    }
  }
  for (const json::Member& member : value.Members()) {
    start_line(FormatString(member.key) + ":");
    if (IsBlock(member.value)) {
      out += "\n" + std::string(indent + 2, ' ');
      AppendBlock(member.value, indent + 2, out);
    } else {
      out += " " + FormatScalar(member.value) + "\n";
    }
  }
}

}  // namespace

std::string FormatDocument(Form form, const std::string& json) {
  if (form != Form::kYaml) return json;
  const Result<json::Value> value = json::Parse(json, kAnswerLimits);
  // JSON is YAML.
  if (!value.ok()) return json;
  if (!IsBlock(*value)) return FormatScalar(*value) + "\n";
  std::string yaml;
  AppendBlock(*value, 0, yaml);
  return yaml;
}

}  // namespace cryopod::terminal
