#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/api/client.h"
#include "agent/api/types.h"
#include "agent/daemon/operations/operation_register.h"
#include "agent/daemon/pods/pod_restores.h"
#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"

// What the calls about operations do, on value types (agent/api/types.h).
namespace cryopod::daemon {

// Follows the operation to its end. Errors: the operation's; kCancelled when the caller went away,
// and the operation goes on.
Result<api::OperationResult> FollowOperation(const Operation& operation,
                                             const api::ProgressSink& writer,
                                             const std::function<bool()>& caller_is_gone);

// Those that run and those that this agent does not understand; with `ended` those that are
// remembered, too.
std::vector<api::Operation> DescribeOperations(const OperationRegister& operations, bool ended);

using LogWriter = std::function<bool(const std::string& name, std::string_view bytes)>;
// Errors: kNotFound, says why there is none.
Status SendLogs(const settings::AgentSettings& config, const OperationRegister& operations,
                const std::string& operation_id, const LogWriter& writer);

}  // namespace cryopod::daemon
