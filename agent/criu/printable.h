#pragma once

#include <string>
#include <string_view>

namespace cryopod::criu {

// A stranger's text as one harmless line: a tab becomes a space, other bytes outside 0x20..0x7e
// '?', and what is longer than `bytes_max` is cut and ends in "...".
inline std::string Printable(std::string_view text, size_t bytes_max = 1024) {
  constexpr std::string_view kCut = "...";
  const bool cut = text.size() > bytes_max;
  std::string line(text.substr(0, cut ? bytes_max - kCut.size() : text.size()));
  for (char& byte : line) {
    if (byte == '\t') byte = ' ';
    if (byte < 0x20 || byte > 0x7e) byte = '?';
  }
  if (cut) line += kCut;
  return line;
}

}  // namespace cryopod::criu
