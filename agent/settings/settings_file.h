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

// The keys of a configuration file, in its order.
//
// Shape    TOML 1.0; every key stands in a [section], its value is a string, an integer, true or
//          false.
// Errors   kInvalidArgument, "NAME:LINE: …": not TOML (also a key or a section that is given
// twice),
//          a key outside any section, a value of another type.
Result<std::vector<Entry>> ParseSettings(std::string_view text, const std::string& name);

// `text` in double quotes, as ParseSettings reads it back. It holds no control characters but tab
// and newline.
std::string Quote(std::string_view text);

}  // namespace cryopod::settings
