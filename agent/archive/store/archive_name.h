#pragma once

#include <string>

#include "agent/os/status.h"

namespace cryopod::archive {

// A name of an archive: 1 to 200 of [a-z0-9A-Z._-], starting with a letter or digit.
Status CheckArchiveName(const std::string& name);

// "NAME" or "NAME@sha256:<hex>".
struct ArchiveReference {
  std::string name;
  std::string digest;  // empty: whatever stands under the name
};
// Errors: kInvalidArgument, names the input and the form.
Result<ArchiveReference> ParseArchiveReference(const std::string& text);

}  // namespace cryopod::archive
