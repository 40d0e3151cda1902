#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::checkpoint {

// What a writable layer comes to, as UpperCopy would copy it: sockets are left out, a file with
// several names counts once.
struct TreeSize {
  // That the copy takes in a staging area: whole pages of data, no holes, and of the kernel's
  // memory what each entry costs.
  uint64_t staged_bytes = 0;
  uint64_t entries = 0;
  // Relative paths of device nodes that are no whiteouts, the first kDeviceNodesMax of them.
  std::vector<std::string> device_nodes;
};

inline constexpr size_t kDeviceNodesMax = 8;

// In one walk. What vanishes meanwhile is passed over. Errors: kNotFound.
Result<TreeSize> MeasureTree(const std::string& path);

}  // namespace cryopod::checkpoint
