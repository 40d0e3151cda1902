#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace cryopod {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// "debug", "info", "warning", "error".
std::string_view LogLevelName(LogLevel level);
std::optional<LogLevel> ParseLogLevel(std::string_view name);

// One JSON line an event on stderr: {"ts":…,"level":…,"msg":…, fields…}. Values are escaped; bytes
// outside 0x20..0x7e never reach the terminal raw. A line above 8 KiB is cut.
//
// Threads  any; a line is one write(2).
void SetLogLevel(LogLevel level);
void Log(LogLevel level, std::string_view message,
         std::initializer_list<std::pair<std::string_view, std::string>> fields = {});

// The escaped inside of a JSON string. Bytes that are no valid UTF-8 become '?'.
std::string JsonEscape(std::string_view text);

}  // namespace cryopod
