#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "agent/os/status.h"

namespace cryopod {

// What a process gives up for good: for itself, for the threads that it starts afterwards and for
// its children. Call them before the first thread, in this order.
//
// Source  capabilities(7), landlock(7), seccomp(2).
// Errors  kPermissionDenied, kUnknown: the process is then as it was, or has given up a part.

// Every capability but `kept` (CAP_SYS_ADMIN), also those that a later exec could bring (bounding
// and ambient set, no_new_privs). Of `kept` no more is there than was before.
Status GiveUpCapabilities(const std::vector<int>& kept = {});

// Gives up the bounding set alone: before a change of user, which takes the right to do it.
// Without that right nothing is changed and the answer is kPermissionDenied.
Status EmptyBoundingSet();

// User and group `id`, and no other group, for good; the capabilities go with root. The signal that
// this process gets when its parent dies, which the kernel forgets with a change of user, is set
// anew. Errors also: kUnavailable, the parent has died meanwhile.
Status BecomeUser(uid_t id);

// A file, or a directory with all that is beneath it, named by an open descriptor.
struct ReachablePath {
  int fd = -1;
  bool writable = false;  // files and directories may be made, changed and removed there as well
};

struct ReachablePlaces {
  std::vector<ReachablePath> paths;
  std::vector<uint16_t> bind_ports;     // TCP ports that may be listened on
  std::vector<uint16_t> connect_ports;  // TCP ports that may be connected to, at any address
};

// The version of Landlock that the kernel has; 0: none, or it is not switched on.
Result<int> LandlockVersion();

// Opens nothing else by any path from now on, and executes nothing; what is open already stays so.
// Where the kernel knows it (Linux 6.7, 6.12) the same goes for TCP, and for signals and abstract
// sockets of others. Returns LandlockVersion(); 0: nothing was given up. Unix sockets with a path
// are not covered by Landlock.
Result<int> GiveUpOtherPlaces(const ReachablePlaces& reachable);

// System calls by their numbers (SYS_read). Those that are not allowed fail with ENOSYS, as on a
// kernel that has none of them, so that a newer libc falls back; calls of another ABI end the
// process.
Status AllowOnlySystemCalls(const std::vector<long>& allowed);
// The other way round, for a program whose libraries nobody can list: these fail with EPERM.
Status ForbidSystemCalls(const std::vector<long>& forbidden);

}  // namespace cryopod
