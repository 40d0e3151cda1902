#pragma once

#include <string>

#include "agent/archive/store/archive_store.h"
#include "agent/jobs/restore_job.h"
#include "agent/settings/agent_settings.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::daemon {

// What cryopod-restore is asked: the archive is pinned by the digest that stands under its name
// now.
jobs::RestoreJob DescribeRestoreJob(const settings::AgentSettings& config,
                                    const wrapper::Request& request,
                                    const std::string& operation_id, const std::string& job_dir,
                                    const archive::Archive& archive);

}  // namespace cryopod::daemon
