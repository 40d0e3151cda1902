#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "agent/json/value.h"
#include "agent/os/file.h"
#include "agent/os/log.h"
#include "agent/os/text.h"
#include "restore/runtime/wrapper.h"

namespace cryopod::wrapper {
namespace {

constexpr size_t kTailBytesMax = size_t{64} << 10;

std::string FormatLine(const Arguments& arguments, const std::string& reason) {
  const std::string escaped = JsonEscape(reason);
  if (arguments.log_format == "json") {
    return "{\"level\":\"error\",\"msg\":\"" + escaped + "\",\"time\":\"" + NowText() + "\"}\n";
  }
  return "time=\"" + NowText() + "\" level=error msg=\"" + escaped + "\"\n";
}

// The log is the runtime's own: only its end matters.
std::string ReadTail(const std::string& path) {
  const Result<UniqueFd> log = OpenAt(AT_FDCWD, path, O_RDONLY);
  struct stat status {};
  if (!log.ok() || ::fstat(log->get(), &status) != 0) return "";
  const off_t start = std::max<off_t>(0, status.st_size - static_cast<off_t>(kTailBytesMax));
  if (::lseek(log->get(), start, SEEK_SET) < 0) return "";
  Result<std::string> tail = ReadAll(log->get(), 2 * kTailBytesMax);
  return tail.ok() ? std::move(*tail) : "";
}

}  // namespace

int Fail(const Arguments& arguments, const std::string& reason) {
  const std::string message = "cryopod: " + reason;
  if (arguments.log.empty()) {
    const std::string line = message + "\n";
    static_cast<void>(WriteAll(STDERR_FILENO, line).ok());
    return 1;
  }
  const Result<UniqueFd> log = OpenAt(AT_FDCWD, arguments.log, O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (log.ok()) static_cast<void>(WriteAll(log->get(), FormatLine(arguments, message)).ok());
  return 1;
}

std::string ReadLastError(const Arguments& arguments) {
  if (arguments.log.empty()) return "";
  std::string last;
  const std::string tail = ReadTail(arguments.log);
  for (const std::string_view line : SplitLines(tail)) {
    if (arguments.log_format != "json") {
      if (line.find("level=error") != std::string_view::npos) last = line;
      continue;
    }
    const Result<json::Value> entry = json::Parse(line);
    if (!entry.ok() || entry->At("level").Text() != "error") continue;
    if (const std::string* const message = entry->At("msg").string()) last = *message;
  }
  return last;
}

}  // namespace cryopod::wrapper
