#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::criu {

struct OciMount {
  std::string destination;
  std::string source;
  std::string device;  // "bind", "cgroup", "tmpfs", "proc", …
};

// What runc knows about one of its containers.
//
// Shape   <OCI runtime root>/<id>/state.json (libcontainer.State): id, init_process_pid,
//         init_process_start, config{rootfs, namespaces, mounts, mask_paths, readonly_paths,
//         devices}, external_descriptors.
// Source  runc 1.1 to 1.3, libcontainer/container_linux.go (State) and configs/config.go.
struct ContainerState {
  std::string id;
  pid_t init_pid = 0;
  uint64_t init_start_ticks = 0;
  std::string rootfs;  // path on the node, mounted
  // "NEWNET" → path of the namespace that was joined; "" for one of its own. A type that is absent
  // is the node's.
  std::map<std::string, std::string> namespace_paths;
  std::vector<OciMount> mounts;
  std::vector<std::string> mask_paths;
  std::vector<std::string> readonly_paths;
  std::vector<std::string> device_paths;
  std::vector<std::string> external_descriptors;  // "/dev/null", "pipe:[123]", …; of fds 0, 1, 2
};

// Errors: kInvalidArgument (an ID that is no name of a directory), kNotFound (no such container
// under the root), kDataLoss (unreadable; names the file).
Result<ContainerState> ReadContainerState(const std::string& oci_runtime_root,
                                          const std::string& id);
Result<ContainerState> ParseContainerState(std::string_view json);

// Resolves `path` inside `rootfs` the way the container would, symlinks and "..", never leaving
// it: "/var/run/secrets" → "/run/secrets". Components that do not exist are kept.
std::string ResolveInRootfs(const std::string& rootfs, const std::string& path);

// Where a mount of the container stands in mountinfo, whose destination may be told with the root
// file system before it.
std::string MountPointOf(const ContainerState& state, const OciMount& mount);

}  // namespace cryopod::criu
