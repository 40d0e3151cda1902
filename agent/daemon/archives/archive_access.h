#pragma once

#include <string>

#include "agent/archive/store/archive_store.h"
#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"

namespace cryopod::daemon {

// Opens NAME[@sha256:DIGEST]. Errors: those of the store.
Result<archive::Archive> OpenArchive(const settings::AgentSettings& config,
                                     const std::string& reference);

// The same for a pod of `pod_namespace`: an archive holds the memory of its
// namespace, which no other may wake up with unless the node's configuration names the pair.
//
// Errors: kNotFound, in the same words whether there is no such archive or it is not for this
// namespace; what is wrong with one that it may have (kDataLoss, kFailedPrecondition).
Result<archive::Archive> OpenArchiveFor(const settings::AgentSettings& config,
                                        const std::string& reference,
                                        const std::string& pod_namespace);

// The same for an archive that is open. Errors: kNotFound, tells nothing of the archive.
Status CheckNamespace(const settings::AgentSettings& config, const archive::Archive& archive,
                      const std::string& pod_namespace);

}  // namespace cryopod::daemon
