#pragma once

#include <functional>
#include <string_view>

#include "agent/os/status.h"

namespace cryopod::archive {

// Receives bytes in order. An error stops whoever produces them and is returned by it.
using ByteSink = std::function<Status(std::string_view bytes)>;

}  // namespace cryopod::archive
