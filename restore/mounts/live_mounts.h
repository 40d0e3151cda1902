#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/criu/images/live_rules.h"
#include "agent/json/value.h"
#include "agent/os/status.h"

namespace cryopod::restore {

// MS_RDONLY, MS_NOSUID, MS_NODEV and MS_NOEXEC of <sys/mount.h>: what a mount forbids.
using MountFlags = unsigned long;

struct LiveMount {
  std::string destination;
  std::string type;  // "bind" for every bind mount, else of the file system
  std::string source;
  MountFlags flags = 0;
  // A bind mount whose options say nothing about flags: it has those of what it shows.
  bool keeps_flags = false;
  bool operator==(const LiveMount&) const = default;
};

struct LiveDevice {
  std::string path;
  uint32_t major = 0;
  uint32_t minor = 0;
  bool is_block = false;
  uint32_t mode = 0666;
  uint32_t uid = 0;
  uint32_t gid = 0;
  bool operator==(const LiveDevice&) const = default;
};

// What a fresh container of the live request would have mounted.
//
// Shape   config.json of the bundle: root.readonly, mounts, linux.maskedPaths, readonlyPaths and
//         devices, linux.resources.devices. It comes from the container runtime, never from an
//         archive.
// Source  OCI runtime-spec v1.2, config.md ("Mounts") and config-linux.md; runc 1.3,
//         libcontainer/rootfs_linux.go (bind mounts are remounted when an option sets or clears a
//         flag).
struct LiveMounts {
  std::string rootfs;  // on the node, mounted
  bool read_only_root = false;
  std::vector<LiveMount> mounts;  // in their order: of two at one place the later one counts
  std::vector<std::string> masked_paths;
  std::vector<std::string> read_only_paths;
  std::vector<LiveDevice> devices;
  std::vector<criu::DeviceRule> device_rules;  // in their order
};

// config.json of a bundle. Errors: kNotFound, kDataLoss (no OCI configuration).
Result<json::Value> ReadLiveConfig(const std::string& bundle);
LiveMounts LiveMountsOf(const json::Value& config, const std::string& rootfs);

// Where mountinfo of the container will show it.
std::string MountPointOf(const LiveMounts& live, const LiveMount& mount);

// What the options of a mount ask for, the later ones of a pair such as "ro" and "rw" against the
// earlier. The recursive forms ("rro") count as the plain ones: a restored container has no mounts
// beneath that the request does not name.
MountFlags FlagsOf(const std::vector<std::string>& options);
// "ro,nosuid".
std::string FlagNames(MountFlags flags);

}  // namespace cryopod::restore
