#pragma once

#include <map>
#include <string>

#include "agent/os/deadline.h"
#include "agent/os/status.h"

// Pods made and ended over CRI, for nodes and hours at which no kubelet does it.
namespace cryopod::ctl {

struct RunningPod {
  std::string sandbox_id;
  std::map<std::string, std::string> containers;  // name → ID
};

// Runs what a restore's request describes ({"config": …, "container_configs": […]}), started cold.
// Its log directory is made when it is absent. A pod that does not come up is removed again.
// Errors: kInvalidArgument (the request), kUnavailable (no runtime at `socket`), and the runtime's.
Result<RunningPod> RunPod(const std::string& socket, const std::string& request_json,
                          const std::string& handler, Deadline deadline);

// `pod` as in RuntimeClient::FindPod(). Errors: kNotFound.
Status RemovePod(const std::string& socket, const std::string& pod, Deadline deadline);

}  // namespace cryopod::ctl
