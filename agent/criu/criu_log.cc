#include "agent/criu/criu_log.h"

#include <array>
#include <optional>

#include "agent/criu/printable.h"

namespace cryopod::criu {
namespace {

constexpr size_t kLogBytesMax = size_t{4} << 20;

// A line of CRIU's log that holds `first` and `second` means `sentence`.
struct Pattern {
  std::string_view first;
  std::string_view second;  // may be empty
  Code code;
  std::string_view sentence;
};

// Complaints that CRIU survives, or that only say that something before them failed.
constexpr std::array<std::string_view, 14> kNoise = {
    "Can't setup RLIMIT_NOFILE for self",
    "Can't get nr_open",
    "Dumping FAILED",
    "failed with -1",
    "failed with error",
    "Can't dump misc",
    "Can't cure (pid",
    "Can't infect (pid",
    "Can't dump threads",
    "Unable to detach from",
    "couldn't read",
    "Can't stop daemon in parasite",
    "RPC error",
    "Can't run",
};

constexpr std::array kPatterns = {
    Pattern{"anon_inode:[io_uring]", "", Code::kFailedPrecondition, "a process uses io_uring"},
};

std::string_view NextLine(std::string_view* log) {
  const size_t end = log->find('\n');
  const std::string_view line = log->substr(0, end);
  log->remove_prefix(end == std::string_view::npos ? log->size() : end + 1);
  return line;
}

bool IsNoise(std::string_view line) {
  for (const std::string_view noise : kNoise) {
    if (line.find(noise) != std::string_view::npos) return true;
  }
  return false;
}

// "(00.067301) Error (criu/files-reg.c:1790): Can't lookup mount=75" → "Can't lookup mount=75".
std::string_view Message(std::string_view line) {
  const size_t location = line.find("Error (");
  const size_t colon = line.find("): ", location);
  return colon == std::string_view::npos ? line.substr(location) : line.substr(colon + 3);
}

const Pattern* Match(std::string_view line) {
  for (const Pattern& pattern : kPatterns) {
    if (line.find(pattern.first) == std::string_view::npos) continue;
    if (line.find(pattern.second) != std::string_view::npos) return &pattern;
  }
  return nullptr;
}

}  // namespace

Status ReasonFromLog(std::string_view log) {
  if (log.size() > kLogBytesMax) log.remove_prefix(log.size() - kLogBytesMax);
  std::optional<std::string_view> first_unknown;
  while (!log.empty()) {
    const std::string_view line = NextLine(&log);
    if (line.find("Error (") == std::string_view::npos) continue;
    if (const Pattern* pattern = Match(line)) {
      return Status(pattern->code, Printable(std::string(pattern->sentence) +
                                             " (CRIU: " + std::string(Message(line)) + ")"));
    }
    if (!first_unknown && !IsNoise(line)) first_unknown = Message(line);
  }
  if (!first_unknown) return Status();
  return Status(Code::kUnknown, Printable("CRIU failed: " + std::string(*first_unknown)));
}

}  // namespace cryopod::criu
