#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/gateway/tcp_socket.h"
#include "agent/os/unique_fd.h"

namespace cryopod::gateway::test {

// Stands for the HTTP service: `serve` has each connection to itself, on a thread of its own, and
// reads and writes as it likes.
class StubService {
 public:
  using Serve = std::function<void(int fd)>;

  explicit StubService(Serve serve) : serve_(std::move(serve)) {
    Result<UniqueFd> listener = ListenTcp("127.0.0.1:0");
    EXPECT_TRUE(listener.ok());
    listener_ = std::move(listener).value();
    // accept(2) is to wait for them.
    ::fcntl(listener_.get(), F_SETFL, 0);
    thread_ = std::jthread([this] { Run(); });
  }
  ~StubService() { ::shutdown(listener_.get(), SHUT_RDWR); }

  int listener() const { return listener_.get(); }

  // Up to and with the end of a head, or what there is before the connection's.
  static std::string ReadHead(int fd) {
    std::string head;
    char byte = 0;
    while (!head.ends_with("\r\n\r\n") && ::recv(fd, &byte, 1, 0) == 1) head += byte;
    return head;
  }

 private:
  void Run() {
    std::vector<std::jthread> threads;
    while (true) {
      UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd.valid() && errno != EMFILE) return;
      if (!fd.valid()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        continue;
      }
      threads.emplace_back([this, own = std::move(fd)] { serve_(own.get()); });
    }
  }

  const Serve serve_;
  UniqueFd listener_;
  std::jthread thread_;
};

}  // namespace cryopod::gateway::test
