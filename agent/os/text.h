#pragma once

#include <charconv>
#include <string_view>
#include <vector>

namespace cryopod {

// The lines without their ends; an empty last one is none.
std::vector<std::string_view> SplitLines(std::string_view text);
// Words between blanks, tabs and newlines.
std::vector<std::string_view> SplitWords(std::string_view text);
// Parts between `separator`, empty ones too.
std::vector<std::string_view> Split(std::string_view text, char separator);

// True when `text` is a decimal number as a whole and fits.
template <typename T>
bool ParseNumber(std::string_view text, T& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace cryopod
