#include "agent/os/mount_info.h"

#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

// "\040" → " ": mountinfo escapes blank, tab, newline, backslash and '#' so.
std::string Unescape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view digits = text.substr(i + 1, 3);
    unsigned byte = 0;
    const bool escape = text[i] == '\\' && digits.size() == 3 && ParseNumber(digits, byte, 8);
    out += escape ? static_cast<char>(byte) : text[i];
    if (escape) i += 3;
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
