#pragma once

#include <cstdint>
#include <string>

namespace cryopod::node {

// "812 MiB", rounded down.
inline std::string FormatMib(uint64_t size_bytes) {
  return std::to_string(size_bytes >> 20) + " MiB";
}

}  // namespace cryopod::node
