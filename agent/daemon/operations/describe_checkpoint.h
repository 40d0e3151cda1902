#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/daemon/operations/operation.h"
#include "agent/jobs/checkpoint_job.h"
#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"
#include "cri/pod_sandbox.h"
#include "cri/runtime_client.h"

namespace cryopod::daemon {

// What a caller asks for.
struct CheckpointOptions {
  std::string operation_id;  // empty: a new one
  std::string pod;           // NAMESPACE/POD or a sandbox ID
  std::string archive;       // empty: <namespace>_<pod>_<UTC time>
  bool stop_source = false;
  bool without_volumes = false;
  uint32_t timeout_s = 0;  // 0: the configured one
};

// <namespace>_<pod>_<UTC time>
std::string DefaultArchiveName(const cri::PodSandbox& pod);

// What cryopod-checkpoint is handed: everything that only CRI can tell. Pure.
// Errors: kFailedPrecondition (the pod or a container does not run; names it), kInvalidArgument
// (the archive's name).
Result<jobs::CheckpointJob> DescribeCheckpointJob(const settings::AgentSettings& config,
                                                  const CheckpointOptions& options,
                                                  const cri::PodSandbox& pod,
                                                  const cri::RuntimeVersion& runtime,
                                                  const OperationFacts& operation);

struct SelectedContainers {
  std::vector<cri::Container> running;
  std::vector<cri::Container> finished;
};

// The containers that a checkpoint takes, each by its last attempt: those that run are dumped. One
// that has ended well is recorded, and never run again by a restore: an init container, or one of a
// pod that does not restart it. One that has ended badly, or has not been started, is a reason to
// refuse: no restore could make it again. Pure.
Result<SelectedContainers> SelectContainers(const std::vector<cri::Container>& containers);

}  // namespace cryopod::daemon
