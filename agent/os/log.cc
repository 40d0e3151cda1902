#include "agent/os/log.h"

#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "agent/os/signal_mask.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

constexpr size_t kLineBytesMax = size_t{8} << 10;
// What a reader of our stderr that has stopped reading may cost us per line before it is dropped.
constexpr int kStalledReaderMs = 100;

std::atomic<LogLevel> minimum_level{LogLevel::kInfo};
std::vector<std::pair<std::string, std::string>> context;

std::string Timestamp() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  ::gmtime_r(&now.tv_sec, &utc);
  std::array<char, 32> seconds{};
  const size_t length = ::strftime(seconds.data(), seconds.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::array<char, 8> millis{};
  ::snprintf(millis.data(), millis.size(), ".%03dZ", static_cast<int>(now.tv_nsec / 1'000'000));
  return std::string(seconds.data(), length) + millis.data();
}

void AppendUnit(std::string& out, uint32_t unit) {
  std::array<char, 8> escape{};
  ::snprintf(escape.data(), escape.size(), "\\u%04x", unit & 0xffffu);
  out += escape.data();
}

void AppendCodePoint(std::string& out, uint32_t code_point) {
  if (code_point < 0x10000) return AppendUnit(out, code_point);
  const uint32_t rest = code_point - 0x10000;
  AppendUnit(out, 0xd800 + (rest >> 10));
  AppendUnit(out, 0xdc00 + (rest & 0x3ff));
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
    sigset_t pipe_signal;
    ::sigemptyset(&pipe_signal);
    ::sigaddset(&pipe_signal, SIGPIPE);
    const BlockedSignals blocked(SIGPIPE);
    int stalls = 0;
    while (!line.empty()) {
      const ssize_t written = WriteWithoutBlocking(line);
      if (written > 0) {
        line.remove_prefix(static_cast<size_t>(written));
        continue;
      }
      const bool again =
          written < 0 && (errno == EINTR || (errno == EAGAIN && stalls++ == 0 && WaitWritable()));
      if (!again) break;
    }
    // A reader that has gone must not kill us when the mask is put back.
    const timespec no_wait{};
    ::sigtimedwait(&pipe_signal, nullptr, &no_wait);
  }
  errno = kept_errno;
}

}  // namespace

std::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

std::optional<LogLevel> ParseLogLevel(std::string_view name) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    if (LogLevelName(level) == name) return level;
  }
  return std::nullopt;
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

std::string JsonEscape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x80) {
      const Utf8Sequence sequence = DecodeUtf8(text.substr(i));
      if (sequence.length == 0) {
        out += '?';
        ++i;
      } else {
        AppendCodePoint(out, sequence.code_point);
        i += sequence.length;
      }
      continue;
    }
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += text[i];
    } else if (byte == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      AppendUnit(out, byte);
    } else {
      out += text[i];
    }
    ++i;
  }
  return out;
}

void Log(LogLevel level, std::string_view message,
         std::initializer_list<std::pair<std::string_view, std::string>> fields) {
  if (level < minimum_level.load(std::memory_order_relaxed)) return;
  std::string line = "{\"ts\":\"" + Timestamp() + "\",\"level\":\"";
  line += LogLevelName(level);
  line += '"';
  // A value is cut before it is escaped, and what no longer fits is left out as a whole, so that a
  // long line is still one JSON object.
  const auto append = [&line](std::string_view key, std::string_view value) {
    const std::string start = ",\"" + JsonEscape(key) + "\":\"";
    const size_t room = kLineBytesMax - 2 - line.size();
    if (start.size() + 1 > room) return;
    std::string escaped = JsonEscape(value.substr(0, kLineBytesMax));
    while (start.size() + escaped.size() + 1 > room) {
      value = value.substr(0, value.size() < 64 ? 0 : value.size() - value.size() / 8 - 1);
      escaped = JsonEscape(value.substr(0, kLineBytesMax));
    }
    line += start + escaped + '"';
  };
  append("msg", message);
  for (const auto& [key, value] : context) append(key, value);
  for (const auto& [key, value] : fields) append(key, value);
  line += "}\n";
  WriteLine(line);
}

}  // namespace cryopod
