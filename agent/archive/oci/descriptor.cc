#include "agent/archive/oci/descriptor.h"

#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

constexpr char kPrefix[] = "sha256:";
constexpr size_t kPrefixSize = sizeof(kPrefix) - 1;
constexpr size_t kHexSize = 64;

}  // namespace

Status CheckDigest(const std::string& digest) {
  const bool ok = digest.size() == kPrefixSize + kHexSize && digest.starts_with(kPrefix) &&
                  digest.find_first_not_of("0123456789abcdef", kPrefixSize) == std::string::npos;
  if (ok) return Status();
  return Status(Code::kInvalidArgument, "digest \"" + JsonEscape(digest.substr(0, 80)) +
                                            "\" is not sha256: and 64 lower-case hex digits");
}

std::string DigestHex(const std::string& digest) { return digest.substr(kPrefixSize); }

}  // namespace cryopod::archive
