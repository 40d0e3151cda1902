#include "agent/settings/checks.h"

#include <algorithm>
#include <utility>

#include "agent/os/text.h"

namespace cryopod::settings {
namespace {

// RFC 1123 label: what Kubernetes allows for a namespace.
bool IsNamespace(std::string_view name) {
  const auto is_word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= 63 && is_word(name.front()) && is_word(name.back()) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return is_word(c) || c == '-'; });
}

}  // namespace

Check AbsolutePath(size_t size_bytes_max) {
  return [size_bytes_max](const std::string& text) -> std::string {
    if (!text.starts_with('/')) return "must be an absolute path";
    if (text.size() > size_bytes_max) {
      return "may have " + std::to_string(size_bytes_max) + " bytes at most";
    }
    return "";
  };
}

Check PathOrEmpty() {
  return [path = AbsolutePath()](const std::string& text) {
    return text.empty() ? std::string() : path(text);
  };
}

Check NotEmpty() {
  return [](const std::string& text) -> std::string { return text.empty() ? "is empty" : ""; };
}

Check OneOf(std::vector<std::string> words) {
  return [words = std::move(words)](const std::string& text) -> std::string {
    if (std::ranges::find(words, text) != words.end()) return "";
    return "must be one of " + Join(words);
  };
}

Check Between(uint32_t min, uint32_t max) {
  return [min, max](const std::string& text) -> std::string {
    uint32_t number = 0;
    if (ParseNumber(text, number) && number >= min && number <= max) return "";
    return "must be a number from " + std::to_string(min) + " to " + std::to_string(max);
  };
}

Check NamespacePairs() {
  return [](const std::string& text) -> std::string {
    for (const std::string_view pair : SplitPairs(text)) {
      const size_t colon = pair.find(':');
      if (colon == std::string_view::npos || !IsNamespace(pair.substr(0, colon)) ||
          !IsNamespace(pair.substr(colon + 1))) {
        return "must be pairs FROM:TO of namespaces, such as \"team-a:team-b\"";
      }
    }
    return "";
  };
}

std::vector<std::string_view> SplitPairs(std::string_view text) {
  std::vector<std::string_view> pairs;
  for (const std::string_view part : Split(text, ',')) {
    for (const std::string_view pair : SplitWords(part)) pairs.push_back(pair);
  }
  return pairs;
}

}  // namespace cryopod::settings
