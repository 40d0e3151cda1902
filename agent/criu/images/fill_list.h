#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::criu {

// A run of memory whose content CRIU is not given: it maps the area and leaves it empty, and
// whoever restores the process writes the pages into it afterwards.
struct Fill {
  pid_t pid = 0;          // in the container's PID namespace
  uint32_t pages_id = 0;  // of the file that keeps the pages
  uint64_t address = 0;
  uint64_t bytes = 0;   // whole pages
  uint64_t offset = 0;  // in that file

  bool operator==(const Fill&) const = default;
};

// In the directory of the container's CRIU images, under names that CRIU does not look at. Nothing
// else there may start like them.
inline constexpr char kOwnFilePrefix[] = "cryopod-";
inline constexpr char kFillListFile[] = "cryopod-fill";
std::string KeptPagesFile(uint32_t pages_id);

// A run is 64 KiB at least (agent/criu/images/split_images.h): these make 16 GiB of the worst
// memory.
inline constexpr size_t kFillsMax = size_t{1} << 18;
inline constexpr size_t kFillListBytesMax = size_t{32} << 20;

// Shape   a line a run: "PID PAGES_ID ADDRESS BYTES OFFSET\n", decimal.
// Errors  kDataLoss: another shape, too many, or a run that cannot be: not of whole pages, outside
//         the addresses of a process, or overflowing.
std::string FormatFills(const std::vector<Fill>& fills);
Result<std::vector<Fill>> ParseFills(std::string_view text);

// The page size of this machine; CRIU's pages are its pages.
uint64_t PageBytes();
// Above it no process has memory of its own (x86-64 with four levels; others have more, which is
// then CRIU's to restore).
inline constexpr uint64_t kUserAddressMax = (uint64_t{1} << 47) - 4096;

}  // namespace cryopod::criu
