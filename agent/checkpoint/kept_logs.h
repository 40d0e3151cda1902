#pragma once

#include <string>
#include <vector>

#include "agent/checkpoint/prepare_dumps.h"

namespace cryopod::checkpoint {

// Logs of failed operations that are kept; older ones are removed.
inline constexpr size_t kKeptLogsMax = 20;

// Copies dump.log of every container to <state dir>/logs/<operation id>/<container>.dump.log. What
// cannot be copied is left out: it is the trace of a failure that has been reported already.
void KeepLogs(const std::string& state_dir, const std::string& operation_id,
              const std::vector<PreparedDump>& dumps);

}  // namespace cryopod::checkpoint
