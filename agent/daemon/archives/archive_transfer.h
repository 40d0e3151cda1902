#pragma once

#include <functional>
#include <string>

#include "agent/archive/store/archive_store.h"
#include "agent/archive/tar/layer_entry.h"
#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"

namespace cryopod::daemon {

// The archive as one oci-archive tar, or with `container` that container's checkpoint tar.
Status ExportArchive(const settings::AgentSettings& config, const archive::Archive& archive,
                     const std::string& container, const archive::ByteSink& sink);

// Gives the next bytes; false at the end.
using ByteSource = std::function<bool(std::string& bytes)>;

// Spools an oci-archive to disk, beside the store, and imports it as `name`.
// Errors: kResourceExhausted (disk full), kDataLoss, kAlreadyExists, kInvalidArgument.
Result<archive::Archive> ImportArchive(const settings::AgentSettings& config,
                                       const std::string& name, const ByteSource& source);

}  // namespace cryopod::daemon
