#include "agent/archive/unpack/unpack_task.h"

#include <array>
#include <utility>

#include "agent/os/text.h"

namespace cryopod::archive {
namespace {

constexpr std::array<std::pair<std::string_view, UnpackMode>, 5> kModes = {{
    {"images", UnpackMode::kImages},
    {"layout", UnpackMode::kLayout},
    {"layer", UnpackMode::kLayer},
    {"emit", UnpackMode::kEmit},
    {"rewrite", UnpackMode::kRewrite},
}};

std::string_view ModeName(UnpackMode mode) {
  for (const auto& [name, value] : kModes) {
    if (value == mode) return name;
  }
  return "images";
}

std::optional<UnpackMode> FindMode(std::string_view text) {
  for (const auto& [name, value] : kModes) {
    if (name == text) return value;
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> ToArguments(const std::string& program, const UnpackTask& task) {
  return {program, std::string(ModeName(task.mode)), std::to_string(task.limits.bytes_max),
          std::to_string(task.limits.entries_max), std::to_string(task.cpu_seconds)};
}

std::optional<UnpackTask> ParseArguments(int argc, const char* const* argv) {
  if (argc != 5) return std::nullopt;
  const std::optional<UnpackMode> mode = FindMode(argv[1]);
  UnpackTask task;
  if (!mode || !ParseNumber(argv[2], task.limits.bytes_max) ||
      !ParseNumber(argv[3], task.limits.entries_max) || !ParseNumber(argv[4], task.cpu_seconds)) {
    return std::nullopt;
  }
  task.mode = *mode;
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
  switch (number) {
    case static_cast<uint64_t>(Code::kResourceExhausted):
      return Status(Code::kResourceExhausted, message);
    case static_cast<uint64_t>(Code::kUnimplemented):
      return Status(Code::kUnimplemented, message);
    case static_cast<uint64_t>(Code::kInternal):
      return Status(Code::kInternal, message);
    default:
      return Status(Code::kDataLoss, message);
  }
}

}  // namespace cryopod::archive
