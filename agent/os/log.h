#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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
LogLevel GetLogLevel();
// Fields that every further line of this process has: what a process does that does one thing.
// Before the first thread.
void SetLogContext(std::vector<std::pair<std::string, std::string>> fields);

// How an agent tells the processes that it starts: the name of a level in their environment.
inline constexpr char kLogLevelVariable[] = "CRYOPOD_LOG_LEVEL";
// Sets the level that the environment names, if it names one.
void SetLogLevelFromEnvironment();

void Log(LogLevel level, std::string_view message,
         std::initializer_list<std::pair<std::string_view, std::string>> fields = {});

// The escaped inside of a JSON string, cut between characters; what is no valid UTF-8 becomes '?'.
std::string JsonEscape(std::string_view text, size_t bytes_max = std::string::npos);

}  // namespace cryopod
