#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/os/deadline.h"
#include "agent/os/unix_socket.h"
#include "restore/runtime/protocol/messages.h"

namespace cryopod::test {

// The agent's side of the runtime socket: accepts one connection after another, reads the request
// and lets the test converse.
class FakeRuntimeAgent {
 public:
  // Gets the connection after its request was read; the connection closes when it returns.
  using Conversation = std::function<void(int fd, const wrapper::Request& request)>;

  FakeRuntimeAgent(const std::string& socket_path, Conversation conversation)
      : conversation_(std::move(conversation)) {
    Result<UniqueFd> listener = ListenUnix(socket_path);
    EXPECT_TRUE(listener.ok()) << listener.status().message();
    if (!listener.ok()) return;
    listener_ = std::move(*listener);
    thread_ = std::thread([this] { Serve(); });
  }
  FakeRuntimeAgent(const FakeRuntimeAgent&) = delete;
  FakeRuntimeAgent& operator=(const FakeRuntimeAgent&) = delete;
  ~FakeRuntimeAgent() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

  // Answers everything with `answer`.
  static Conversation Always(wrapper::Answer answer) {
    return [answer = std::move(answer)](int fd, const wrapper::Request&) {
      static_cast<void>(wrapper::Send(fd, answer, Soon()).ok());
    };
  }

  static Deadline Soon() { return Deadline::After(std::chrono::seconds(10)); }

  std::vector<wrapper::Request> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void Serve() {
    while (!stop_) {
      Result<UniqueFd> connection =
          AcceptUnix(listener_.get(), Deadline::After(std::chrono::milliseconds(20)));
      if (!connection.ok()) continue;
      const Result<Frame> frame = ReceiveFrame(connection->get(), Soon());
      if (!frame.ok()) continue;
      const Result<wrapper::Request> request = wrapper::ParseRequest(frame->bytes);
      if (!request.ok()) continue;
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(*request);
      }
      conversation_(connection->get(), *request);
    }
  }

  Conversation conversation_;
  UniqueFd listener_;
  std::thread thread_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::vector<wrapper::Request> requests_;
};

}  // namespace cryopod::test
