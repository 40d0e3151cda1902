#pragma once

#include <map>
#include <string>
#include <string_view>

#include "agent/os/status.h"

namespace cryopod::wrapper {

// The text form of everything small that the runtime side keeps on disk.
//
// Shape   lines "key=value"; blanks around both are ignored, as are empty lines and those that
//         begin with '#'. Keys are [a-z0-9_], a key twice is an error, values hold no control
//         characters.
using KeyValues = std::map<std::string, std::string>;

inline constexpr size_t kKeyValuesBytesMax = size_t{64} << 10;

// Errors: kInvalidArgument, names the line's number.
Result<KeyValues> ParseKeyValues(std::string_view text);
// Errors: kInvalidArgument when a key or value would not come back as it was; names the key.
Result<std::string> FormatKeyValues(const KeyValues& values);

// The value of `key`, or "".
std::string Get(const KeyValues& values, const std::string& key);

}  // namespace cryopod::wrapper
