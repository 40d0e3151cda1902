#include "agent/os/mount_info.h"

#include <array>

#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

bool IsOctal(char c) { return c >= '0' && c <= '7'; }

// "\040" → " ": mountinfo escapes blank, tab, newline, backslash and '#' so.
std::string Unescape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 3 < text.size() && IsOctal(text[i + 1]) &&
                        IsOctal(text[i + 2]) && IsOctal(text[i + 3]);
    if (!escape) {
      out += text[i];
      continue;
    }
    out +=
        static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
    i += 3;
  }
  return out;
}

// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"; a source may
// be empty, so the words are split at every blank.
Result<MountEntry> ParseLine(std::string_view line) {
  const Status malformed(Code::kDataLoss, "mountinfo: not in the form of proc(5)");
  const size_t separator = line.find(" - ");
  if (separator == std::string_view::npos) return malformed;
  const std::vector<std::string_view> left = Split(line.substr(0, separator), ' ');
  const std::vector<std::string_view> right = Split(line.substr(separator + 3), ' ');
  if (left.size() < 6 || right.size() < 3) return malformed;
  MountEntry entry;
  if (!ParseNumber(left[0], entry.mount_id) || !ParseNumber(left[1], entry.parent_id)) {
    return malformed;
  }
  entry.device = left[2];
  entry.root = Unescape(left[3]);
  entry.mount_point = Unescape(left[4]);
  entry.mount_options = left[5];
  entry.file_system_type = right[0];
  entry.source = Unescape(right[1]);
  entry.super_options = right[2];
  return entry;
}

}  // namespace

Result<std::vector<MountEntry>> ParseMountInfo(std::string_view text) {
  std::vector<MountEntry> entries;
  for (const std::string_view line : SplitLines(text)) {
    CRYOPOD_ASSIGN_OR_RETURN(MountEntry entry, ParseLine(line));
    entries.push_back(std::move(entry));
  }
  return entries;
}

Result<std::vector<MountEntry>> ReadMountInfo(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/mountinfo";
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return ParseMountInfo(text).While(path);
}

}  // namespace cryopod
