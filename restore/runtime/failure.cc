#include "restore/runtime/failure.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "agent/os/file.h"
#include "agent/os/log.h"

namespace cryopod::runtime {
namespace {

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

std::string ReadLogTail(const Arguments& arguments, size_t size_bytes_max) {
  if (arguments.log.empty()) return "";
  const Result<UniqueFd> log = OpenAt(AT_FDCWD, arguments.log, O_RDONLY);
  struct stat status {};
  if (!log.ok() || ::fstat(log->get(), &status) != 0) return "";
  const off_t start = std::max<off_t>(0, status.st_size - static_cast<off_t>(size_bytes_max));
  if (::lseek(log->get(), start, SEEK_SET) < 0) return "";
  std::string tail(size_bytes_max, '\0');
  const ssize_t length = ::read(log->get(), tail.data(), tail.size());
  tail.resize(length > 0 ? static_cast<size_t>(length) : 0);
  return tail;
}

}  // namespace cryopod::runtime
