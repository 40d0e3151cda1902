#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::cri {

// What the verbose answers of PodSandboxStatus and ContainerStatus hold beyond CRI's own fields.
//
// Shape    a map whose entry "info" is a JSON object. containerd: pid, config (PodSandboxConfig or
//          ContainerConfig as Go's encoding/json prints it: proto names, enums and int64 as
//          numbers), runtimeSpec, …; CRI-O: pid, runtimeSpec, no config.
// Source   containerd v2.1 internal/cri/types/{container,sandbox}_info.go.
struct VerboseInfo {
  pid_t pid = 0;            // 0: no process, or the runtime did not say
  std::string config_json;  // as ParseJson reads it; empty: the runtime did not say
};

// A map without "info" gives an empty answer. Errors: kInternal (not the shape above).
Result<VerboseInfo> ParseSandboxInfo(const std::map<std::string, std::string>& info);
Result<VerboseInfo> ParseContainerInfo(const std::map<std::string, std::string>& info);

struct RuntimeHandler {
  std::string type;         // "io.containerd.runc.v2"
  std::string program;      // BinaryName; empty: the one that the shim knows
  std::string snapshotter;  // empty: that of the runtime
  // Patterns of annotations that reach the OCI runtime.
  std::vector<std::string> pod_annotations;
  std::vector<std::string> container_annotations;
};

struct RuntimeConfiguration {
  bool shown = false;  // the runtime tells it; else the handlers' names are all that is known
  std::map<std::string, RuntimeHandler> handlers;
  std::string snapshotter;  // "overlayfs"; empty: not told
};

// What the verbose answer of Status holds of the configuration.
//
// Shape    the entry "config" of `info` is containerd's configuration as Go's encoding/json prints
//          it: {"containerd": {"runtimes": {NAME: {"runtimeType", "PodAnnotations",
//          "ContainerAnnotations", "options": {"BinaryName"}, "snapshotter"}}}}; a list that is not
//          set is null. CRI-O's entry "config" is TOML: then `names` are all.
// Source   containerd v2.1 internal/cri/server/status.go and internal/cri/config/config.go.
RuntimeConfiguration ParseRuntimeConfiguration(const std::map<std::string, std::string>& info,
                                               const std::vector<std::string>& names);

// "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs" → "overlayfs"; "" for other paths.
// Source   containerd v2.1 internal/cri/server/images/imagefs_info.go.
std::string SnapshotterOf(const std::string& mountpoint);

}  // namespace cryopod::cri
