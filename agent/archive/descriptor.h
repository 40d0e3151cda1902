#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace cryopod::archive {

// A content-addressed blob. Source: OCI image-spec v1.1, descriptor.md.
struct Descriptor {
  std::string media_type;
  std::string digest;  // "sha256:<64 lower-case hex digits>", nothing else is accepted
  uint64_t size_bytes = 0;
  std::string artifact_type;
  std::map<std::string, std::string> annotations;

  bool operator==(const Descriptor&) const = default;
};

}  // namespace cryopod::archive
