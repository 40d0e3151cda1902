#include "agent/settings/checks.h"

#include <algorithm>
#include <utility>

#include "agent/os/text.h"

namespace cryopod::settings {

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
    if (std::find(words.begin(), words.end(), text) != words.end()) return "";
    std::string list;
    for (const std::string& word : words) list += (list.empty() ? "" : ", ") + word;
    return "must be one of " + list;
  };
}

Check Between(uint32_t min, uint32_t max) {
  return [min, max](const std::string& text) -> std::string {
    uint32_t number = 0;
    if (ParseNumber(text, number) && number >= min && number <= max) return "";
    return "must be a number from " + std::to_string(min) + " to " + std::to_string(max);
  };
}

}  // namespace cryopod::settings
