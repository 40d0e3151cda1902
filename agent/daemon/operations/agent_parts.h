#pragma once

#include <string>

#include "agent/daemon/operations/operation_register.h"
#include "agent/settings/agent_settings.h"
#include "cri/runtime_client.h"
#include "metrics/agent_metrics.h"

namespace cryopod::daemon {

// What everything in the agent works with, and is outlived by.
struct AgentParts {
  const settings::AgentSettings& config;
  cri::RuntimeClient& runtime;
  OperationRegister& operations;
  metrics::AgentMetrics& metrics;

  std::string job_dir(const std::string& id) const { return config.jobs_dir() + "/" + id; }
};

}  // namespace cryopod::daemon
