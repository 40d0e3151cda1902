#pragma once

#include <string>

#include "agent/archive/store/archive_store.h"
#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::daemon {

// cryopod-restore's side of the agent: its request, and where it listens.
inline constexpr char kControlSocket[] = "control.sock";

// request.json of a restore job: the archive pinned by the digest that stands under its name now.
std::string RestoreJobJson(const settings::AgentSettings& config, const wrapper::Request& request,
                           const std::string& operation_id, const std::string& job_dir,
                           const archive::Archive& archive);

// Whose restore a job is: pod_uid, restore_from and restore_operation of the request that began it.
// Errors: kNotFound, kDataLoss.
Result<wrapper::Request> RequestOfRestoreJob(const std::string& job_dir);

}  // namespace cryopod::daemon
