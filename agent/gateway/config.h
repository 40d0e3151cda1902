#pragma once

#include "agent/os/status.h"
#include "agent/settings/gateway_settings.h"

namespace cryopod::gateway {

// Everything that can be told the gateway.
using Config = settings::GatewaySettings;

// Checks what settings cannot: what belongs together, and how an endpoint is written. Errors:
// kInvalidArgument, names the key.
Status CheckConfig(const Config& config);

}  // namespace cryopod::gateway
