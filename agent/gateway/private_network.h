#pragma once

namespace cryopod::gateway {

// Takes this process out of the network, for good: into a network namespace of its own, which has
// nothing but a loopback. Sockets that are open stay where they are, so clients still come in, and
// unix sockets are found by their path. Call it before the first thread, as root if one is root.
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

}  // namespace cryopod::gateway
