#pragma once

#include "agent/os/status.h"

namespace grpc {
class Status;
}

namespace cryopod::cri {

// The code as it is, the peer's own words as the message.
Status FromGrpc(const grpc::Status& status);

}  // namespace cryopod::cri
