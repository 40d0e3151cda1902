#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::restore {

// One mount that the live request gives to a container.
struct LiveMount {
  std::string destination;  // as the request says it
  std::string mount_point;  // as mountinfo will show it: resolved in the root file system
  std::string source;
  std::string type;
  std::vector<std::string> options;
  bool bind = false;
};

// In the order of the request. `config_json` is the live bundle's OCI configuration, `rootfs` the
// container's root file system, mounted.
// Source  OCI runtime-spec v1.2, config.md ("Mounts").
// Errors  kDataLoss (it is no configuration).
Result<std::vector<LiveMount>> ParseLiveMounts(std::string_view config_json,
                                               const std::string& rootfs);
Result<std::vector<LiveMount>> ReadLiveMounts(const std::string& bundle, const std::string& rootfs);

}  // namespace cryopod::restore
