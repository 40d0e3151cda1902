#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "agent/json/value.h"
#include "agent/os/status.h"

namespace cryopod::cri {

// Of a runtime's verbose answer: configuration and OCI spec of a container together.
inline constexpr json::Limits kVerboseLimits{.bytes_max = size_t{16} << 20, .depth_max = 64};

// What the verbose answers of PodSandboxStatus and ContainerStatus hold beyond CRI's own fields.
//
// Shape    a map whose entry "info" is a JSON object. containerd: pid, config (PodSandboxConfig or
//          ContainerConfig as Go's encoding/json prints it: proto names, enums and int64 as
//          numbers), runtimeSpec, …; CRI-O: pid, runtimeSpec, no config.
// Source   containerd v2.1 internal/cri/types/{container,sandbox}_info.go.
struct VerboseInfo {
  pid_t pid = 0;            // 0: no process, or the runtime did not say
  std::string config_json;  // as ParseStrictJson reads it; empty: the runtime did not say
};

// A map without "info" gives an empty answer. Errors: kInternal (not the shape above).
Result<VerboseInfo> ParseSandboxInfo(const std::map<std::string, std::string>& info);
Result<VerboseInfo> ParseContainerInfo(const std::map<std::string, std::string>& info);

}  // namespace cryopod::cri
