#include "agent/os/text.h"

#include <algorithm>
#include <ctime>

namespace cryopod {

std::vector<std::string_view> SplitLines(std::string_view text) {
  std::vector<std::string_view> lines = Split(text, '\n');
  if (lines.back().empty()) lines.pop_back();
  return lines;
}

std::vector<std::string_view> SplitWords(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\n";
  std::vector<std::string_view> words;
  size_t start = text.find_first_not_of(kBlanks);
  while (start != std::string_view::npos) {
    const size_t end = std::min(text.find_first_of(kBlanks, start), text.size());
    words.push_back(text.substr(start, end - start));
    start = text.find_first_not_of(kBlanks, end);
  }
  return words;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string Printable(std::string_view text, size_t bytes_max) {
  constexpr std::string_view kCut = "...";
  const bool cut = text.size() > bytes_max;
  const size_t room = cut ? bytes_max - kCut.size() : text.size();
  std::string line;
  while (!text.empty()) {
    const auto [code_point, valid] = DecodeUtf8(text);
    const size_t length = std::max<size_t>(valid, 1);
    if (line.size() + length > room) break;
    // U+0080 to U+009f: "\u009b" begins a control sequence as "\x1b[" does.
    const bool control = code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0);
    if (code_point == '\t' || code_point == '\n' || code_point == '\r') {
      line += ' ';
    } else if (control || valid == 0) {
      line += '?';
    } else {
      line += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  if (cut) line += kCut;
  return line;
}

bool HasControlCharacters(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](unsigned char byte) { return byte < 0x20 || byte == 0x7f; });
}

bool IsPlainName(std::string_view text) {
  constexpr size_t kNameBytesMax = 253;
  const auto fits = [](char c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  };
  return !text.empty() && text.front() != '.' && text.size() <= kNameBytesMax &&
         std::all_of(text.begin(), text.end(), fits);
}

Utf8Sequence DecodeUtf8(std::string_view text) {
  const auto byte = [&text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1};
  size_t length = 0;
  uint32_t code_point = 0;
  uint32_t smallest = 0;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2, code_point = first & 0x1fu, smallest = 0x80;
  } else if ((first & 0xf0) == 0xe0) {
    length = 3, code_point = first & 0x0fu, smallest = 0x800;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4, code_point = first & 0x07u, smallest = 0x10000;
  }
  if (length == 0 || text.size() < length) return {};
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code_point = (code_point << 6) | (byte(i) & 0x3fu);
  }
  const bool surrogate = code_point >= 0xd800 && code_point <= 0xdfff;
  if (code_point < smallest || code_point > 0x10ffff || surrogate) return {};
  return {code_point, length};
}

bool IsAtOrBelow(std::string_view path, std::string_view directory) {
  if (directory == "/") return path.starts_with('/');
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

std::string Join(const std::vector<std::string>& words, std::string_view separator) {
  return JoinFirst(words, words.size(), separator);
}

std::string JoinFirst(const std::vector<std::string>& words, size_t count_max,
                      std::string_view separator, std::string_view last) {
  std::string text;
  for (size_t i = 0; i < words.size() && i < count_max; ++i) {
    if (i > 0) text += separator;
    text += words[i];
  }
  if (words.size() <= count_max) return text;
  return text.append(last) + std::to_string(words.size() - count_max) + " more";
}

std::pair<int, int> MajorMinor(std::string_view version) {
  std::pair<int, int> numbers{0, 0};
  const char* const end = version.data() + version.size();
  const auto [dot, error] = std::from_chars(version.data(), end, numbers.first);
  if (error == std::errc() && dot != end && *dot == '.') {
    std::from_chars(dot + 1, end, numbers.second);
  }
  return numbers;
}

std::string WholeMib(uint64_t size_bytes) { return std::to_string(size_bytes >> 20) + " MiB"; }

std::string FormatTime(std::chrono::nanoseconds time, const char* format) {
  const time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, format, &utc));
}

std::string NowText(const char* format) {
  return FormatTime(std::chrono::system_clock::now().time_since_epoch(), format);
}

}  // namespace cryopod
