#include "agent/gateway/agent_metrics_text.h"

#include <utility>

namespace cryopod::gateway {

AgentMetricsText::AgentMetricsText(const std::string& agent_socket, Options options)
    : client_(agent_socket),
      options_(options),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

AgentMetricsText::~AgentMetricsText() { End(); }

void AgentMetricsText::End() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  std::vector<Receiver> left;
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    left.swap(waiting_);
  }
  for (const Receiver& receiver : left) receiver(Status(Code::kCancelled, "ending"));
}

void AgentMetricsText::Ask(Receiver receiver) {
  {
    const std::lock_guard lock(mutex_);
    if (!ended_) waiting_.push_back(std::exchange(receiver, nullptr));
  }
  if (receiver) receiver(Status(Code::kCancelled, "ending"));
  wake_.notify_one();
}

void AgentMetricsText::Run(const std::stop_token& stop) {
  Result<std::string> text = Status(Code::kUnavailable, "not asked yet");
  Deadline fresh = Deadline::After(std::chrono::nanoseconds(0));
  while (true) {
    std::vector<Receiver> receivers;
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [this] { return !waiting_.empty(); })) return;
      if (stop.stop_requested()) return;
      receivers.swap(waiting_);
    }
    if (fresh.expired()) {
      text = client_.Metrics(Deadline::After(options_.timeout));
      fresh = Deadline::After(options_.fresh);
    }
    for (const Receiver& receiver : receivers) receiver(text);
  }
}

}  // namespace cryopod::gateway
