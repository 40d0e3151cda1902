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
// namespace; what is wrong with one that it may have (kDataLoss, kFailedPrecondition), also that it
// comes from another node (CheckOrigin).
Result<archive::Archive> OpenArchiveFor(const settings::AgentSettings& config,
                                        const std::string& reference,
                                        const std::string& pod_namespace);

// The same for an archive that is open. Errors: kNotFound, tells nothing of the archive.
Status CheckNamespace(const settings::AgentSettings& config, const archive::Archive& archive,
                      const std::string& pod_namespace);

// May archives of other nodes be taken in, and those that were be restored? A stranger's bytes are
// for a process that everything confines which the kernel can have, or for an operator who decided
// otherwise. Errors: kFailedPrecondition, names the setting.
Status CheckForeignArchives(const settings::AgentSettings& config);
// The same before a restore: success for what this node has written.
Status CheckOrigin(const settings::AgentSettings& config, const archive::Archive& archive);

}  // namespace cryopod::daemon
