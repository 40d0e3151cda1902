#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::cri {

struct Mount {
  std::string container_path;
  std::string host_path;
  bool read_only = false;
};

enum class ContainerState { kCreated, kRunning, kExited, kUnknown };

struct Container {
  std::string id;
  std::string name;
  uint32_t attempt = 0;
  ContainerState state = ContainerState::kUnknown;
  int32_t exit_code = 0;  // of one that has exited
  int64_t created_at_ns = 0;
  std::string image;      // as the pod asked for it
  std::string image_ref;  // resolved
  std::string image_id;   // digest of its configuration; not every runtime tells it
  std::string log_path;
  std::vector<Mount> mounts;
  // From the runtime's verbose answer; empty or 0 where it gave none.
  pid_t pid = 0;
  std::string config_json;  // CRI ContainerConfig, JSON
  std::string status_json;  // CRI ContainerStatus, JSON
};

struct PodSandbox {
  std::string id;
  std::string name;
  std::string namespace_;
  std::string uid;
  uint32_t attempt = 0;
  bool ready = false;
  int64_t created_at_ns = 0;
  std::string runtime_handler;
  std::map<std::string, std::string> annotations;
  std::string ip;
  std::string config_json;            // CRI PodSandboxConfig, JSON
  std::vector<Container> containers;  // in the order of creation
};

// The sandbox that `pod` means: NAMESPACE/POD, or a unique prefix of a sandbox ID. Of several
// sandboxes of one name the ready one, then the highest attempt, then the youngest; a sandbox that
// is not ready is returned when there is no other.
// Errors: kNotFound, kInvalidArgument (no name at all, or ambiguous: lists the candidates).
Result<PodSandbox> ChoosePod(const std::vector<PodSandbox>& sandboxes, const std::string& pod);

}  // namespace cryopod::cri
