#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "cri/pod_sandbox.h"
#include "cri/verbose_info.h"

namespace cryopod::cri {

struct RuntimeVersion {
  std::string name;
  std::string version;
  std::string api_version;
};

struct ExecResult {
  int exit_code = 0;
  std::string output;  // stdout
  std::string error;   // stderr
};

// A client of the container runtime's CRI socket. Every call has a deadline; every error names the
// socket or the object and carries the runtime's own words.
//
// Source   CRI v1, k8s.io/cri-api pkg/apis/runtime/v1/api.proto (cri/api.proto holds the fields
//          used here, with CRI's package, names and numbers; unknown fields survive).
// Threads  any.
class RuntimeClient {
 public:
  explicit RuntimeClient(const std::string& socket_path);
  ~RuntimeClient();

  Result<RuntimeVersion> Version(Deadline deadline);
  // What the runtime that runs has been configured to do, as it says itself.
  Result<RuntimeConfiguration> Configuration(Deadline deadline);

  // All sandboxes, without containers and without config_json.
  Result<std::vector<PodSandbox>> ListPodSandboxes(Deadline deadline);
  // With containers and every verbose field. Containers that have exited are listed too.
  // Errors: kNotFound.
  Result<PodSandbox> DescribePodSandbox(const std::string& sandbox_id, Deadline deadline);
  // `pod` is NAMESPACE/POD or a unique prefix of a sandbox ID; of several sandboxes of one pod the
  // ready one with the highest attempt. Errors: kNotFound, kInvalidArgument (ambiguous; lists
  // them).
  Result<PodSandbox> FindPod(const std::string& pod, Deadline deadline);

  // Configurations are CRI messages as JSON: proto field names or camelCase, unknown fields are
  // refused by name (kInvalidArgument).
  Result<std::string> RunPodSandbox(const std::string& config_json,
                                    const std::string& runtime_handler, Deadline deadline);
  Result<std::string> CreateContainer(const std::string& sandbox_id,
                                      const std::string& container_config_json,
                                      const std::string& sandbox_config_json, Deadline deadline);
  Status StartContainer(const std::string& container_id, Deadline deadline);
  // `grace_seconds`: SIGTERM first, SIGKILL after it; 0 kills at once.
  Status StopContainer(const std::string& container_id, int grace_seconds, Deadline deadline);
  // The runtime's own checkpoint of one container, as a tar file at `location` of its file system.
  Status CheckpointContainer(const std::string& container_id, const std::string& location,
                             Deadline deadline);
  Status RemoveContainer(const std::string& container_id, Deadline deadline);
  Status StopPodSandbox(const std::string& sandbox_id, Deadline deadline);
  Status RemovePodSandbox(const std::string& sandbox_id, Deadline deadline);
  Result<Container> ContainerStatus(const std::string& container_id, Deadline deadline);
  // `limit` is the command's own, counted by the runtime from when it runs; whole seconds.
  Result<ExecResult> ExecSync(const std::string& container_id,
                              const std::vector<std::string>& command, Deadline deadline,
                              std::chrono::seconds limit = std::chrono::hours(1));

 private:
  struct Stubs;
  std::unique_ptr<Stubs> stubs_;
};

}  // namespace cryopod::cri
