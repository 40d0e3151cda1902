#pragma once

#include <string>

namespace cryopod::terminal {

// How an answer is asked for.
enum class Form { kText, kWide, kJson, kYaml };

inline bool IsDocument(Form form) { return form == Form::kJson || form == Form::kYaml; }

// One JSON document as it is, or the same as YAML, its members in their order.
//
// Source  YAML 1.2.2; a string is quoted also where only YAML 1.1 would read something else in it.
std::string FormatDocument(Form form, const std::string& json);

}  // namespace cryopod::terminal
