#include "agent/settings/settings_file.h"

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <utility>

#include "agent/os/text.h"

namespace cryopod::settings {
namespace {

Status Invalid(const std::string& name, const toml::source_region& where,
               std::string_view message) {
  return {Code::kInvalidArgument,
          name + ":" + std::to_string(where.begin.line) + ": " + std::string(message)};
}

// With the line as it stands: the parser does not say which key it was at.
Status NotToml(const std::string& name, std::string_view text, const toml::parse_error& error) {
  constexpr size_t kLineBytesMax = 200;
  const std::vector<std::string_view> lines = SplitLines(text);
  const size_t number = error.source().begin.line;
  const bool is_there = number >= 1 && number <= lines.size();
  const std::string line(is_there ? lines[number - 1].substr(0, kLineBytesMax) : "");
  return Invalid(name, error.source(), "\"" + line + "\": " + std::string(error.description()));
}

// Fills in value and quoted.
bool TakeValue(const toml::node& node, Entry& entry) {
  entry.quoted = node.is_string();
  if (const auto* text = node.as_string()) entry.value = text->get();
  if (const auto* number = node.as_integer()) entry.value = std::to_string(number->get());
  if (const auto* truth = node.as_boolean()) entry.value = truth->get() ? "true" : "false";
  return node.is_string() || node.is_integer() || node.is_boolean();
}

Status TakeSection(const std::string& name, const std::string& section, const toml::table& keys,
                   std::vector<Entry>& entries) {
  for (const auto& [key, node] : keys) {
    Entry entry{section, std::string(key.str()), "", false, key.source().begin.line};
    if (!TakeValue(node, entry)) {
      return Invalid(name, key.source(),
                     entry.key + ": a value is a whole number, true, false, or a text in quotes");
    }
    if (entry.value.find('\0') != std::string::npos) {
      return Invalid(name, key.source(), entry.key + ": a text cannot hold a NUL");
    }
    entries.push_back(std::move(entry));
  }
  return Status();
}

}  // namespace

Result<std::vector<Entry>> ParseSettings(std::string_view text, const std::string& name) {
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) return NotToml(name, text, parsed.error());
  std::vector<Entry> entries;
  for (const auto& [section, node] : parsed.table()) {
    const toml::table* keys = node.as_table();
    if (keys == nullptr) {
      return Invalid(name, section.source(),
                     std::string(section.str()) + " stands before any [section]");
    }
    CRYOPOD_RETURN_IF_ERROR(TakeSection(name, std::string(section.str()), *keys, entries));
  }
  // A table is sorted by name; whoever reads the file's errors goes from its top.
  std::ranges::sort(entries, {}, &Entry::line);
  return entries;
}

std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char byte : text) {
    if (byte == '"' || byte == '\\' || byte == '\n') quoted += '\\';
    quoted += byte == '\n' ? 'n' : byte;
  }
  return quoted + '"';
}

}  // namespace cryopod::settings
