#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "agent/api/client.h"
#include "agent/os/deadline.h"
#include "metrics/gateway_metrics.h"

namespace cryopod::gateway {

// What is known of the node, and since when.
struct NodeState {
  std::optional<api::NodeInfo> node;  // the last answer, also after the agent has gone
  std::optional<Deadline::Clock::time_point> answered_at;
  bool agent_answers = false;
  std::string agent_error = "the agent has not been asked yet";  // unless it answers
};

// Asks the agent for the node's state again and again, so that no request of a client does: the
// answer takes a run of CRIU.
//
// Threads  one of its own; state() from any.
class AgentWatch {
 public:
  struct Options {
    std::chrono::milliseconds interval{15'000};       // while the agent answers
    std::chrono::milliseconds retry_interval{1'000};  // while it does not
    // CRIU and the runtime have 10 s each in the agent.
    std::chrono::milliseconds timeout{40'000};
  };
  AgentWatch(const std::string& agent_socket, Options options, metrics::GatewayMetrics& metrics);
  ~AgentWatch();

  NodeState state() const;

 private:
  void Run(const std::stop_token& stop);
  void Ask();

  api::Client client_;
  const Options options_;
  metrics::GatewayMetrics& metrics_;
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  NodeState state_;
  std::jthread thread_;  // last: it uses all above
};

}  // namespace cryopod::gateway
