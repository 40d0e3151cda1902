#pragma once

#include <chrono>
#include <cstddef>

#include "agent/gateway/client.h"

namespace cryopod::gateway {

struct FrontOptions {
  size_t connections_max = 256;
  size_t connections_per_address_max = 192;
  ClientTimeouts timeouts;
  std::chrono::milliseconds service_timeout{10'000};
  // So long one answer serves all who ask the same.
  std::chrono::milliseconds shared_for{250};
};

}  // namespace cryopod::gateway
