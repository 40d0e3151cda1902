#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::ctl {

// One "key = value" of a TOML text, with its place in it: enough to read a few settings and to
// change one of them without touching a byte beside it.
//
// Source  TOML 1.0.
struct TomlStatement {
  std::vector<std::string> key;  // with the tables around it; [[x]] counts as [x]
  size_t begin = 0;              // of the key
  size_t value_begin = 0;
  size_t value_end = 0;  // past the value; a comment may follow
};

// Statements in their order, those inside inline tables too. Not a validator: it refuses what it
// cannot follow. Errors: kInvalidArgument, names the line.
Result<std::vector<TomlStatement>> ScanToml(std::string_view text);

// A string in TOML's basic or literal form, on one line or more; nothing when `value` is no string.
std::optional<std::string> TomlString(std::string_view value);

struct TomlElement {
  size_t begin = 0;  // in `value`
  size_t end = 0;
};
// The elements of an array in its text ("[…]"). Errors: kInvalidArgument (not an array).
Result<std::vector<TomlElement>> TomlElements(std::string_view value);

// `text` as a basic string with its quotes.
std::string QuoteToml(std::string_view text);

}  // namespace cryopod::ctl
