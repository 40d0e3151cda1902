#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/api/client.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"

namespace cryopod::gateway {

// The agent's metrics for whoever scrapes: one question to the agent at a time, and at most one a
// second, however many ask here. The agent reads its store to answer.
//
// Threads  one of its own, on which the receivers are called; Ask() from any.
class AgentMetricsText {
 public:
  using Receiver = std::function<void(const Result<std::string>& text)>;
  struct Options {
    std::chrono::milliseconds fresh{1'000};    // so long is one answer everybody's
    std::chrono::milliseconds timeout{5'000};  // half of what a Prometheus gives a scrape
  };
  AgentMetricsText(const std::string& agent_socket, Options options);
  ~AgentMetricsText();

  // `receiver` must not throw and is called exactly once: soon, within the timeout, or with
  // kCancelled when this ends.
  void Ask(Receiver receiver);
  // Answers whoever waits; whoever asks from now on is answered at once. Waits for the agent,
  // within the timeout. Not for several threads at once.
  void End();

 private:
  void Run(const std::stop_token& stop);

  api::Client client_;
  const Options options_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::vector<Receiver> waiting_;
  bool ended_ = false;
  std::jthread thread_;  // last: it uses all above
};

}  // namespace cryopod::gateway
