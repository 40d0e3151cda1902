#pragma once

#include <future>
#include <mutex>
#include <optional>
#include <string>

#include "agent/daemon/archives/archive_census.h"
#include "agent/daemon/operations/operation_register.h"
#include "agent/os/deadline.h"
#include "agent/settings/agent_settings.h"
#include "cri/runtime_client.h"
#include "metrics/agent_metrics.h"

namespace cryopod::daemon {

// The text of a scrape: what was counted, and what is true of the node at this moment.
//
// Threads  any; one scrape at a time, others wait for it. What takes long to find out, as when the
//          runtime hangs, is found out by a thread of its own, so that a scrape is answered in
//          time.
class NodeMetrics {
 public:
  NodeMetrics(const settings::AgentSettings& config, cri::RuntimeClient& runtime,
              const OperationRegister& operations, metrics::AgentMetrics& metrics);
  std::string Collect();

 private:
  void DescribeNode();
  metrics::NodeDescription AskNode() const;

  const settings::AgentSettings& config_;
  cri::RuntimeClient& runtime_;
  const OperationRegister& operations_;
  metrics::AgentMetrics& metrics_;
  std::mutex mutex_;  // guards everything below
  ArchiveCensus census_;
  std::future<metrics::NodeDescription> asked_;
  std::optional<Deadline> described_until_;
};

}  // namespace cryopod::daemon
