#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/checkpoint/job.h"
#include "agent/config.h"
#include "agent/os/status.h"
#include "cri/pod_sandbox.h"
#include "cri/runtime_client.h"

namespace cryopod::agent {

// What a caller asks for.
struct CheckpointOptions {
  std::string pod;      // NAMESPACE/POD or a sandbox ID
  std::string archive;  // empty: <namespace>_<pod>_<UTC time>
  bool stop_source = false;
  bool without_volumes = false;
  uint32_t timeout_s = 0;  // 0: the configured one
};

// What cryopod-checkpoint is handed: everything that only CRI can tell. Pure.
// Errors: kFailedPrecondition (the pod or a container does not run; names it), kInvalidArgument
// (the archive's name).
Result<checkpoint::CheckpointJob> DescribeCheckpointJob(const Config& config,
                                                        const CheckpointOptions& options,
                                                        const cri::PodSandbox& pod,
                                                        const cri::RuntimeVersion& runtime,
                                                        const std::string& operation_id);

// The containers that a checkpoint takes: the running ones. One that has ended well and has no
// running successor was an init container, which a restore replaces by nothing; one that has ended
// badly, or has not been started, is a reason to refuse. Pure.
Result<std::vector<cri::Container>> SelectContainers(const std::vector<cri::Container>& containers);

}  // namespace cryopod::agent
