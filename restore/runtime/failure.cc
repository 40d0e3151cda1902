#include "restore/runtime/failure.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "agent/os/file.h"
#include "agent/os/log.h"

namespace cryopod::wrapper {
namespace {

constexpr size_t kTailBytesMax = size_t{64} << 10;

std::string Rfc3339Now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char text[32];
  return std::string(text, std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc));
}

std::string FormatLine(const Arguments& arguments, const std::string& reason) {
  const std::string escaped = JsonEscape(reason);
  if (arguments.log_format == "json") {
    return "{\"level\":\"error\",\"msg\":\"" + escaped + "\",\"time\":\"" + Rfc3339Now() + "\"}\n";
  }
  return "time=\"" + Rfc3339Now() + "\" level=error msg=\"" + escaped + "\"\n";
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
  std::istringstream lines(ReadTail(arguments.log));
  for (std::string line; std::getline(lines, line);) {
    if (arguments.log_format != "json") {
      if (line.find("level=error") != std::string::npos) last = line;
      continue;
    }
    const nlohmann::json entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!entry.is_object() || entry.value("level", nlohmann::json()) != "error") continue;
    const nlohmann::json message = entry.value("msg", nlohmann::json());
    if (message.is_string()) last = message.get<std::string>();
  }
  return last;
}

}  // namespace cryopod::wrapper
