#pragma once

#include <string>

namespace cryopod::wrapper {

// The answer to kSelfCheckCommand: restore/runtime/protocol/self_check_command.h.
std::string SelfCheck();

}  // namespace cryopod::wrapper
