#pragma once

#include <string>

#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::criu {

// Can this CRIU load `plugin` (agent/criu/plugin)? Without it what is restored is held by stop
// signals, which its processes can see. Asked of CRIU itself, which is started for it with nothing
// to do. Errors: kFailedPrecondition, says why not: the library does not fit, or CRIU has libraries
// of its own here, beside which it would not be loaded.
Status CheckHoldPlugin(const std::string& plugin, const std::string& criu_program,
                       Deadline deadline);

}  // namespace cryopod::criu
