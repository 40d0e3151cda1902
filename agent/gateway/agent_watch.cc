#include "agent/gateway/agent_watch.h"

#include <utility>

#include "agent/os/log.h"

namespace cryopod::gateway {

AgentWatch::AgentWatch(const std::string& agent_socket, Options options,
                       metrics::GatewayMetrics& metrics)
    : client_(agent_socket),
      options_(options),
      metrics_(metrics),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

AgentWatch::~AgentWatch() {
  thread_.request_stop();
  wake_.notify_all();
}

NodeState AgentWatch::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void AgentWatch::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    Ask();
    std::unique_lock lock(mutex_);
    const auto pause = state_.agent_answers ? options_.interval : options_.retry_interval;
    wake_.wait_for(lock, stop, pause, [] { return false; });
  }
}

void AgentWatch::Ask() {
  Result<api::NodeInfo> answer = client_.DescribeNode(Deadline::After(options_.timeout));
  const std::lock_guard lock(mutex_);
  const bool changed = state_.agent_answers != answer.ok();
  state_.agent_answers = answer.ok();
  if (answer.ok()) {
    metrics_.SetAgentUp();
    state_.node = std::move(answer).value();
    state_.answered_at = Deadline::Clock::now();
    state_.agent_error.clear();
    if (changed) Log(LogLevel::kInfo, "agent answers", {{"agent", state_.node->agent_version}});
    return;
  }
  metrics_.SetAgentDown();
  const std::string reason = answer.status().message();
  if (reason != state_.agent_error) {
    Log(LogLevel::kWarning, "agent does not answer", {{"reason", reason}});
  }
  state_.agent_error = reason;
}

}  // namespace cryopod::gateway
