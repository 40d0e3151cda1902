#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "agent/archive/oci/pod_checkpoint.h"
#include "agent/daemon/operations/operation.h"
#include "agent/os/status.h"
#include "agent/settings/agent_settings.h"
#include "cri/runtime_client.h"

namespace cryopod::daemon {

struct RestoreOptions {
  std::string archive;       // NAME[@sha256:DIGEST]
  std::string request_json;  // CRI RestorePodRequest's shape
  bool request_from_archive = false;
  std::string runtime_handler;  // empty: "cryopod"
  uint32_t timeout_s = 0;       // 0: the configured one
};

struct RestoreReport {
  struct Container {
    std::string name;
    std::string id;
    pid_t pid = 0;
  };
  std::string sandbox_id;
  std::vector<Container> containers;
  std::vector<archive::PhaseTiming> phases;
};

// Called with the stage and, where it concerns one, the container.
using StageReport = std::function<void(const std::string& stage, const std::string& container)>;

struct RestoreParts {
  const settings::AgentSettings& config;
  cri::RuntimeClient& runtime;
  OperationTable& table;
};

// A new pod out of an archive of this node, through CRI: a sandbox with the annotation that asks
// for the restore, containers, started, and proven to be the restored ones by their consumed
// records. On any error everything that was made is removed again; what cannot be, or what an agent
// leaves that is killed meanwhile, stands in the journal and is settled by the next agent
// (HalfMadePods).
//
// Errors: kAborted (another operation runs on a pod of this UID), and those of all steps.
Result<RestoreReport> RestorePod(const RestoreParts& parts, const RestoreOptions& options,
                                 const StageReport& report);

}  // namespace cryopod::daemon
