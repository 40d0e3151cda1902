#include "agent/archive/store/archive_name.h"

#include <algorithm>

#include "agent/archive/oci/descriptor.h"
#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

constexpr size_t kNameBytesMax = 200;

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool IsNameCharacter(char c) { return IsAlphanumeric(c) || c == '.' || c == '_' || c == '-'; }

}  // namespace

Status CheckArchiveName(const std::string& name) {
  const bool ok = !name.empty() && name.size() <= kNameBytesMax && IsAlphanumeric(name[0]) &&
                  std::all_of(name.begin(), name.end(), IsNameCharacter);
  if (ok) return Status();
  return Status(
      Code::kInvalidArgument,
      "archive name \"" + JsonEscape(name.substr(0, 80)) +
          "\" must be 1 to 200 letters, digits, '.', '_' or '-', a letter or digit first");
}

Result<ArchiveReference> ParseArchiveReference(const std::string& text) {
  ArchiveReference reference;
  const size_t at = text.find('@');
  reference.name = text.substr(0, at);
  if (at != std::string::npos) reference.digest = text.substr(at + 1);
  Status name = CheckArchiveName(reference.name);
  if (name.ok() && at == std::string::npos) return reference;
  if (name.ok()) name = CheckDigest(reference.digest);
  if (name.ok()) return reference;
  return std::move(name).While("\"" + JsonEscape(text.substr(0, 300)) +
                               "\" is not NAME or NAME@sha256:HEX");
}

}  // namespace cryopod::archive
