#pragma once

#include <string>

#include "agent/archive/archive_store.h"
#include "agent/config.h"
#include "agent/os/status.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::agent {

// cryopod-restore's side of the agent: its request, and where it listens.
inline constexpr char kControlSocket[] = "control.sock";

// request.json of a restore job: the archive pinned by the digest that stands under its name now.
std::string RestoreJobJson(const Config& config, const runtime::Request& request,
                           const std::string& operation_id, const std::string& job_dir,
                           const archive::Archive& archive);

// Whose restore a job is: pod_uid, restore_from and restore_operation of the request that began it.
// Errors: kNotFound, kDataLoss.
Result<runtime::Request> RequestOfRestoreJob(const std::string& job_dir);

}  // namespace cryopod::agent
