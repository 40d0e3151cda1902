#pragma once

#include <string>
#include <vector>

#include "agent/ctl/exit_code.h"
#include "agent/terminal/console.h"

namespace cryopod::ctl {

// cryopodctl from its arguments (without the program's name) to its exit code.
ExitCode Run(const std::vector<std::string>& arguments, const terminal::Console& console);

}  // namespace cryopod::ctl
