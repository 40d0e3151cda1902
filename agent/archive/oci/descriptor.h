#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "agent/os/status.h"

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

// Exactly "sha256:" and 64 lower-case hex digits. Errors: kInvalidArgument.
Status CheckDigest(const std::string& digest);
// The hex digits of a checked digest: the name of its file in blobs/sha256.
std::string DigestHex(const std::string& digest);

}  // namespace cryopod::archive
