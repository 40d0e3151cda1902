#include "agent/criu/images/fill_list.h"

#include <unistd.h>

#include <charconv>

#include "agent/os/proc.h"

namespace cryopod::criu {
namespace {

constexpr uint64_t kFileBytesMax = uint64_t{1} << 62;

Status Broken(const std::string& why) {
  return Status(Code::kDataLoss, std::string(kFillListFile) + ": " + why);
}

// Takes a number and the byte `end` behind it from the front of `line`.
template <typename Number>
bool Take(std::string_view& line, char end, Number& number) {
  const auto [rest, error] = std::from_chars(line.data(), line.data() + line.size(), number);
  if (error != std::errc() || rest == line.data() + line.size() || *rest != end) return false;
  line.remove_prefix(static_cast<size_t>(rest - line.data()) + 1);
  return true;
}

Status Check(const Fill& fill) {
  const uint64_t page = PageBytes();
  if (fill.pid <= 0 || fill.pid > kPidMax) return Broken("a run of no process");
  if (fill.bytes == 0 || (fill.address | fill.bytes | fill.offset) % page != 0) {
    return Broken("a run that is not of whole pages");
  }
  if (fill.address > kUserAddressMax || fill.bytes > kUserAddressMax - fill.address) {
    return Broken("a run outside the addresses of a process");
  }
  if (fill.offset > kFileBytesMax) return Broken("a run outside any file");
  return Status();
}

}  // namespace

std::string KeptPagesFile(uint32_t pages_id) {
  return std::string(kOwnFilePrefix) + "pages-" + std::to_string(pages_id);
}

std::string FormatFills(const std::vector<Fill>& fills) {
  std::string text;
  for (const Fill& fill : fills) {
    text += std::to_string(fill.pid) + ' ' + std::to_string(fill.pages_id) + ' ' +
            std::to_string(fill.address) + ' ' + std::to_string(fill.bytes) + ' ' +
            std::to_string(fill.offset) + '\n';
  }
  return text;
}

Result<std::vector<Fill>> ParseFills(std::string_view text) {
  std::vector<Fill> fills;
  while (!text.empty()) {
    Fill fill;
    if (!Take(text, ' ', fill.pid) || !Take(text, ' ', fill.pages_id) ||
        !Take(text, ' ', fill.address) || !Take(text, ' ', fill.bytes) ||
        !Take(text, '\n', fill.offset)) {
      return Broken("a line that is none");
    }
    CRYOPOD_RETURN_IF_ERROR(Check(fill));
    if (fills.size() >= kFillsMax) return Broken("more runs than there may be");
    fills.push_back(fill);
  }
  return fills;
}

uint64_t PageBytes() {
  static const auto bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

}  // namespace cryopod::criu
