#pragma once

#include <string>

#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"

namespace cryopod::daemon {

// Reads flags and file into `config`. Returns what is to be printed before ending well (--help,
// --version, --print-config); empty: go on. Errors: as settings::ReadCommandLine.
Result<std::string> ReadConfig(int argc, const char* const* argv, settings::AgentSettings& config);

// Checks what settings cannot: programs that exist. Errors: kNotFound, names the program.
Status CheckConfig(const settings::AgentSettings& config);

}  // namespace cryopod::daemon
