#include "agent/os/log.h"

#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "agent/os/signal_mask.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

constexpr size_t kLineBytesMax = size_t{8} << 10;
// What a reader of our stderr that has stopped reading may cost us per line before it is dropped.
constexpr int kStalledReaderMs = 100;

std::atomic<LogLevel> minimum_level{LogLevel::kInfo};
std::vector<std::pair<std::string, std::string>> context;

constexpr std::array<std::string_view, 4> kLevelNames = {"debug", "info", "warning", "error"};

std::string Timestamp() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(now).count() % 1000;
  std::array<char, 8> fraction{};
  ::snprintf(fraction.data(), fraction.size(), ".%03dZ", static_cast<int>(millis));
  return FormatTime(now, "%Y-%m-%dT%H:%M:%S") + fraction.data();
}

std::string Utf16Unit(uint32_t unit) {
  std::array<char, 8> escape{};
  ::snprintf(escape.data(), escape.size(), "\\u%04x", unit & 0xffffu);
  return escape.data();
}

std::string Escaped(uint32_t code_point) {
  const char byte = static_cast<char>(code_point);
  if (code_point == '\n') return "\\n";
  if (code_point == '"' || code_point == '\\') return {'\\', byte};
  if (code_point >= 0x20 && code_point < 0x7f) return {byte};
  if (code_point < 0x10000) return Utf16Unit(code_point);
  const uint32_t rest = code_point - 0x10000;
  return Utf16Unit(0xd800 + (rest >> 10)) + Utf16Unit(0xdc00 + (rest & 0x3ff));
}

bool WaitWritable() {
  pollfd stderr_poll{STDERR_FILENO, POLLOUT, 0};
  return ::poll(&stderr_poll, 1, kStalledReaderMs) == 1 && (stderr_poll.revents & POLLOUT) != 0;
}

// RWF_NOWAIT covers pipes and files whatever their O_NONBLOCK says, which we must not change: the
// open file is shared with others. What does not know the flag (a terminal) gets a plain write once
// poll has called it writable.
ssize_t WriteWithoutBlocking(std::string_view bytes) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  const ssize_t written = ::pwritev2(STDERR_FILENO, &part, 1, -1, RWF_NOWAIT);
  if (written >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)) return written;
  if (!WaitWritable()) return -1;
  return ::write(STDERR_FILENO, bytes.data(), bytes.size());
}

void WriteLine(std::string_view line) {
  const int kept_errno = errno;
  {
    const BlockedSignals blocked(SIGPIPE);
    int stalls = 0;
    while (!line.empty()) {
      const ssize_t written = WriteWithoutBlocking(line);
      if (written > 0) line.remove_prefix(static_cast<size_t>(written));
      if (written > 0 || (written < 0 && errno == EINTR)) continue;
      if (written == 0 || errno != EAGAIN || stalls++ > 0 || !WaitWritable()) break;
    }
    // A reader that has gone must not kill us when the mask is put back.
    sigset_t pipe_signal;
    ::sigemptyset(&pipe_signal);
    ::sigaddset(&pipe_signal, SIGPIPE);
    const timespec no_wait{};
    ::sigtimedwait(&pipe_signal, nullptr, &no_wait);
  }
  errno = kept_errno;
}

}  // namespace

std::string_view LogLevelName(LogLevel level) { return kLevelNames[static_cast<size_t>(level)]; }

std::optional<LogLevel> ParseLogLevel(std::string_view name) {
  const auto* found = std::ranges::find(kLevelNames, name);
  if (found == kLevelNames.end()) return std::nullopt;
  return static_cast<LogLevel>(found - kLevelNames.begin());
}

void SetLogLevel(LogLevel level) { minimum_level.store(level, std::memory_order_relaxed); }
LogLevel GetLogLevel() { return minimum_level.load(std::memory_order_relaxed); }

void SetLogContext(std::vector<std::pair<std::string, std::string>> fields) {
  context = std::move(fields);
}

void SetLogLevelFromEnvironment() {
  const char* const name = std::getenv(kLogLevelVariable);
  if (name == nullptr) return;
  if (const std::optional<LogLevel> level = ParseLogLevel(name)) SetLogLevel(*level);
}

std::string JsonEscape(std::string_view text, size_t bytes_max) {
  std::string out;
  while (!text.empty()) {
    const auto [code_point, length] = DecodeUtf8(text);
    const std::string unit = length == 0 ? "?" : Escaped(code_point);
    if (unit.size() > bytes_max - out.size()) break;
    out += unit;
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

void Log(LogLevel level, std::string_view message,
         std::initializer_list<std::pair<std::string_view, std::string>> fields) {
  if (level < minimum_level.load(std::memory_order_relaxed)) return;
  std::string line = "{\"ts\":\"" + Timestamp() + "\",\"level\":\"";
  line.append(LogLevelName(level)).append("\"");
  // A value is cut between characters, and what no longer fits is left out as a whole, so that a
  // long line is still one JSON object.
  const auto append = [&line](std::string_view key, std::string_view value) {
    const std::string start = ",\"" + JsonEscape(key) + "\":\"";
    const size_t room = kLineBytesMax - 2 - line.size();
    if (start.size() + 1 > room) return;
    line += start + JsonEscape(value, room - start.size() - 1) + '"';
  };
  append("msg", message);
  for (const auto& [key, value] : context) append(key, value);
  for (const auto& [key, value] : fields) append(key, value);
  line += "}\n";
  WriteLine(line);
}

}  // namespace cryopod
