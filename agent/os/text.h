#pragma once

#include <charconv>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cryopod {

// The lines without their ends; an empty last one is none.
std::vector<std::string_view> SplitLines(std::string_view text);
// Words between blanks, tabs and newlines.
std::vector<std::string_view> SplitWords(std::string_view text);
// Parts between `separator`, empty ones too.
std::vector<std::string_view> Split(std::string_view text, char separator);

// A stranger's text as one harmless line of UTF-8: tabs and ends of lines become spaces, other
// control characters and what is no UTF-8 '?'; what is longer than `bytes_max` is cut and ends in
// "...".
std::string Printable(std::string_view text, size_t bytes_max = 1024);
// Bytes below 0x20, and 0x7f.
bool HasControlCharacters(std::string_view text);

// A name or ID as CRI and Kubernetes have them, of 1 to 253 of [A-Za-z0-9._-] and no dot first: no
// path, no terminal escape.
bool IsPlainName(std::string_view text);

struct Utf8Sequence {
  uint32_t code_point = 0;
  size_t length = 0;  // 0: no valid sequence
};
// The one that a text which is not empty begins with; a byte of ASCII is one.
// Source: The Unicode Standard, table 3-7 (no overlong forms, no surrogates, nothing above 10ffff).
Utf8Sequence DecodeUtf8(std::string_view text);

// Is `path` the directory or a place below it? Both are absolute, without a slash at their end and
// without "..".
bool IsAtOrBelow(std::string_view path, std::string_view directory);

// "app, db".
std::string Join(const std::vector<std::string>& words, std::string_view separator = ", ");
// "app, db, web and 7 more".
std::string JoinFirst(const std::vector<std::string>& words, size_t count_max,
                      std::string_view separator = ", ", std::string_view last = " and ");

// First two numbers of "6.18.0-12-generic"; 0 where there is none.
std::pair<int, int> MajorMinor(std::string_view version);

// "812 MiB", rounded down.
std::string WholeMib(uint64_t size_bytes);

// The time since the epoch in UTC, as strftime(3) writes it: by default RFC 3339 with seconds.
std::string FormatTime(std::chrono::nanoseconds time, const char* format = "%Y-%m-%dT%H:%M:%SZ");
std::string NowText(const char* format = "%Y-%m-%dT%H:%M:%SZ");

// True when `text` is a number as a whole and fits.
template <typename T>
bool ParseNumber(std::string_view text, T& number, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc() && end == text.data() + text.size();
}
// Appends the numbers between blanks, tabs and newlines; true when all are.
template <typename T>
bool ParseNumbers(std::string_view text, std::vector<T>& numbers) {
  for (const std::string_view word : SplitWords(text)) {
    if (!ParseNumber(word, numbers.emplace_back())) return false;
  }
  return true;
}

}  // namespace cryopod
