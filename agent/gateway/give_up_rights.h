#pragma once

#include <cstdint>
#include <string>

#include "agent/os/status.h"

namespace cryopod::gateway {

// What the gateway gives up before it meets anybody. All of it before the first thread.

// Whether this process can become `user` (a name out of the user database), or may go on as who it
// is when that is empty: root only with `allow_root`. Errors: kNotFound (no such user),
// kFailedPrecondition; they say what to do. Ask before EnterPrivateNetwork(), after which the
// kernel may not tell any more who this is.
Status CheckUser(const std::string& user, bool allow_root);
// When root, becomes `user` with its groups (empty: stays root); gives up every capability in any
// case. Errors: kNotFound, kPermissionDenied.
Status BecomeUser(const std::string& user);

// Afterwards: no file is opened but this process's own entries in /proc, nothing is executed, and
// no TCP port is used but `service_port` of the HTTP service. Sockets that are open stay so.
// Kernels without Landlock lack a part of it, which is logged.
Status Confine(uint16_t service_port);

}  // namespace cryopod::gateway
