#pragma once

#include <cstdint>
#include <string>

#include "agent/criu/images/live_rules.h"
#include "agent/os/status.h"

namespace cryopod::criu {

// Holds the content of a tmpfs, such as a container's /dev, against the live request, in which
// `may_hold` are the capabilities that a process of it may come to hold. CRIU gives the image to
// tar, which makes what stands there with the rights of the node.
//
// Device nodes: those that a fresh container has, with no more rights to them than its
// processes may give. Any that the request allows them to open, where they may make it themselves
// (CAP_MKNOD): it gives nothing then that one system call would not. Others are refused also with
// that right, although the device cgroup is the live one and would not let them be opened: nothing
// honest needs them, and a node that only one thing makes harmless is one mistake away from a disk.
//
// Set-id files: of a user or group that a process of the request is or may become, or where
// no_new_privs takes their power; a fresh container can make no others.
//
// Names: none twice, so that no directory takes the place of a link; a hard link leads to an entry
// before it. The rest is tmpfs_tar.h's.
//
// How much there is, is not judged: CRIU unpacks in the container's own cgroup, whose limits are
// the live ones, and a fresh container could write as much into a tmpfs of its own.
//
// Hostile input.
// Source  runc 1.3, libcontainer/criu_linux.go (criuApplyCgroups: cgroup and device rules are there
//         before CRIU is asked) and specconv/spec_linux.go (AllowedDevices).
// Errors  kPermissionDenied (too much), kDataLoss (no such image); they name image and entry.
Status JudgeTmpfs(int images_dir_fd, const std::string& image, const LiveRules& rules,
                  uint64_t may_hold);

}  // namespace cryopod::criu
