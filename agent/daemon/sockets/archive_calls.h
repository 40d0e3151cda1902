#pragma once

#include <string>
#include <vector>

#include "agent/api/types.h"
#include "agent/archive/store/archive_store.h"
#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"

// What the calls about archives do, on value types (agent/api/types.h).
namespace cryopod::daemon {

api::ArchiveSummary Summarize(const archive::Archive& archive);

// NAME[@sha256:DIGEST]. Errors: those of the store.
Result<archive::Archive> OpenNamed(const settings::AgentSettings& config, const std::string& text);

// Those of one namespace, or with "" all; one that cannot be read says why.
Result<std::vector<api::ArchiveSummary>> ListArchives(const settings::AgentSettings& config,
                                                      const std::string& pod_namespace);
Result<api::Inspection> InspectArchive(const settings::AgentSettings& config,
                                       const std::string& archive);
Result<api::Verification> VerifyArchive(const settings::AgentSettings& config,
                                        const std::string& archive);
Status DeleteArchive(const settings::AgentSettings& config, const std::string& archive);

}  // namespace cryopod::daemon
