#pragma once

#include <cstdint>
#include <string>

#include "agent/os/status.h"

namespace cryopod::gateway {

// What the gateway gives up before it meets anybody. All of it before the first thread.

// Becomes `user` (a name out of the user database) with its groups, when started as root, and gives
// up every capability in any case. Without a user root goes on only when `allow_root`.
// Errors: kNotFound (no such user), kFailedPrecondition (root, and neither user nor permission; not
// root, but another user asked for), kPermissionDenied. Each says what to do.
Status BecomeUser(const std::string& user, bool allow_root);

// Afterwards: no file is opened but this process's own entries in /proc, nothing is executed, and
// no TCP port is used but `service_port` of the HTTP service. Sockets that are open stay so.
// Kernels without Landlock lack a part of it, which is logged.
Status Confine(uint16_t service_port);

}  // namespace cryopod::gateway
