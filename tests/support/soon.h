#pragma once

#include <chrono>

#include "agent/os/deadline.h"

namespace cryopod::test {

// For what takes a moment, also on a machine that has other work.
inline Deadline Soon() { return Deadline::After(std::chrono::seconds(30)); }

}  // namespace cryopod::test
