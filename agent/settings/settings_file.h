#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::settings {

// One "key = value" of the configuration file.
struct Entry {
  std::string section;
  std::string key;
  std::string value;  // without quotes and escapes
  bool quoted = false;
  size_t line = 0;  // from 1
};

// The lines of a configuration file.
//
// Shape    the part of TOML 1.0 that settings need: [section] and key = value, one a line; values
//          are "strings" (with \" \\ \t \n), 'literal strings', integers, true and false; #
//          comments. CLI11's own reader knows no line numbers, takes a word without "=" for a value
//          and a "#" inside quotes for a comment, and joins keys that are given twice: not good
//          enough for a file that says what root runs.
// Errors   kInvalidArgument, "NAME:LINE: …": no such line, a key outside any section, a key or a
//          section given twice.
Result<std::vector<Entry>> ParseSettings(std::string_view text, const std::string& name);

// `text` in double quotes, as ParseSettings reads it back. It holds no control characters but tab
// and newline.
std::string Quote(std::string_view text);

}  // namespace cryopod::settings
