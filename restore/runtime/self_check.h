#pragma once

#include <string>

namespace cryopod::runtime {

// The answer to kSelfCheckCommand: restore/runtime/protocol/self_check_command.h.
std::string SelfCheck();

}  // namespace cryopod::runtime
