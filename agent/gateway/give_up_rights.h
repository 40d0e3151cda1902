#pragma once

#include <cstdint>
#include <string>

#include "agent/os/status.h"

namespace cryopod::gateway {

// What the gateway gives up before it meets anybody. All of it before the first thread, in this
// order.

// Whether this process can become `user` (a name out of the user database), or may go on as who it
// is when that is empty: root only with `allow_root`. Errors: kNotFound (no such user),
// kFailedPrecondition; they say what to do. Ask before EnterPrivateNetwork(), after which the
// kernel may not tell any more who this is.
Status CheckUser(const std::string& user, bool allow_root);
// Takes this process out of the network, for good: into a network namespace of its own, which has
// nothing but a loopback. Sockets that are open stay where they are, so clients still come in, and
// unix sockets are found by their path. As root if one is root.
//
// Why      cpprestsdk's listener takes TCP connections and no others, and it bounds nothing
//          (agent/gateway/front.h): on the machine's loopback every process of the machine could
//          reach it behind the front's back. (A packet filter on its socket would do, but Linux
//          6.18 keeps that for CAP_NET_ADMIN.) And a gateway that somebody took over reaches no
//          other machine.
//
// False when the kernel does not allow it (neither CAP_SYS_ADMIN nor namespaces of users, as in
// most containers, whose loopback is their own); nothing has changed then.
bool EnterPrivateNetwork();

// When root, becomes `user` with its groups (empty: stays root); gives up every capability in any
// case. Errors: kNotFound, kPermissionDenied.
Status BecomeUser(const std::string& user);

// Afterwards: no file is opened but this process's own entries in /proc, nothing is executed, and
// no TCP port is used but `service_port` of the HTTP service. Sockets that are open stay so.
// Kernels without Landlock lack a part of it, which is logged.
Status Confine(uint16_t service_port);

}  // namespace cryopod::gateway
