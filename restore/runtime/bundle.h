#pragma once

#include <optional>
#include <string>

#include "agent/os/status.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::wrapper {

// What config.json of the bundle at `bundle` (absolute) says about a restore: nothing, or a request
// of kind kSandbox or kCreate without container_id and state_dir.
//
// Source   OCI runtime-spec 1.0 to 1.2, config.md; annotations as containerd's CRI plugin writes
//          them.
// Errors   kInvalidArgument: it asks for a restore, but not in a way that can be answered; that
//          must not become a cold start. A bundle that cannot be read asks for nothing: the OCI
//          runtime says what is wrong with it.
Result<std::optional<Request>> ReadRestoreRequest(const std::string& bundle);

}  // namespace cryopod::wrapper
