#pragma once

#include <cstdint>
#include <string>

#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::gateway {

// Listens at "127.0.0.1:9464", "[::1]:9464" or "0.0.0.0:9464"; port 0 takes a free one. Names are
// not resolved. The socket does not block. Errors: kInvalidArgument, kUnavailable; they name
// `text`.
Result<UniqueFd> ListenTcp(const std::string& text);
// Success when ListenTcp would understand it.
Status CheckEndpoint(const std::string& text);
// The address that a socket has, in the same form.
std::string LocalEndpoint(int fd);
// A port of 127.0.0.1 that was free a moment ago.
Result<uint16_t> FindFreePort();

}  // namespace cryopod::gateway
