#include "agent/archive/unpack/unpack_task.h"

#include <algorithm>
#include <array>

#include "agent/os/text.h"

namespace cryopod::archive {
namespace {

constexpr std::array<std::string_view, 6> kModes = {"images", "layout",    "layer",
                                                    "emit",   "documents", "rewrite"};

}  // namespace

std::vector<std::string> ToArguments(const std::string& program, const UnpackTask& task) {
  return {program, std::string(kModes.at(static_cast<size_t>(task.mode))),
          std::to_string(task.limits.bytes_max), std::to_string(task.limits.entries_max),
          std::to_string(task.cpu_seconds)};
}

std::optional<UnpackTask> ParseArguments(int argc, const char* const* argv) {
  if (argc != 5) return std::nullopt;
  const auto mode = std::find(kModes.begin(), kModes.end(), argv[1]);
  UnpackTask task;
  if (mode == kModes.end() || !ParseNumber(argv[2], task.limits.bytes_max) ||
      !ParseNumber(argv[3], task.limits.entries_max) || !ParseNumber(argv[4], task.cpu_seconds)) {
    return std::nullopt;
  }
  task.mode = static_cast<UnpackMode>(mode - kModes.begin());
  return task;
}

std::string FormatReport(const Status& status) {
  const std::string text = std::to_string(static_cast<int>(status.code())) + " " + status.message();
  return text.substr(0, kUnpackReportBytesMax);
}

Status ParseReport(std::string_view text) {
  uint64_t number = 0;
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || !ParseNumber(text.substr(0, space), number)) {
    return Status(Code::kInternal, "ended without a readable report");
  }
  const std::string message = Printable(text.substr(space + 1), kUnpackReportBytesMax);
  for (const Code code :
       {Code::kInvalidArgument, Code::kResourceExhausted, Code::kUnimplemented, Code::kInternal}) {
    if (number == static_cast<uint64_t>(code)) return Status(code, message);
  }
  if (number == static_cast<uint64_t>(Code::kPermissionDenied)) {
    return Status(Code::kPermissionDenied, message, Reason::kSecurityContext);
  }
  return Status(Code::kDataLoss, message);
}

}  // namespace cryopod::archive
