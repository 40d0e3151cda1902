#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "agent/os/unix_socket.h"

namespace cryopod::test {

// A server that stands still for a while, as one that got SIGSTOP does: who connects is let into
// the backlog at once and gets not a byte before `pause` has passed. From then on bytes go to and
// from the server at `server_path`.
class LateSocket {
 public:
  LateSocket(const std::string& path, std::string server_path, std::chrono::milliseconds pause)
      : listener_(ListenUnix(path, 0600).value()),
        server_path_(std::move(server_path)),
        accepter_([this, pause](const std::stop_token& stop) { Accept(stop, pause); }) {}

 private:
  static constexpr std::chrono::milliseconds kTick{20};

  void Accept(const std::stop_token& stop, std::chrono::milliseconds pause) {
    const Deadline wakes = Deadline::After(pause);
    while (!stop.stop_requested() && !wakes.expired()) std::this_thread::sleep_for(kTick);
    std::vector<std::jthread> connections;
    while (!stop.stop_requested()) {
      Result<UniqueFd> client = AcceptUnix(listener_.get(), Deadline::After(kTick));
      if (!client.ok()) continue;
      connections.emplace_back(
          [this, fd = std::move(client).value()](const std::stop_token& end) { Relay(end, fd); });
    }
  }

  void Relay(const std::stop_token& stop, const UniqueFd& client) const {
    const Result<UniqueFd> server = ConnectUnix(server_path_, Deadline::After(kTick));
    if (!server.ok()) return;
    std::array<pollfd, 2> ends{{{client.get(), POLLIN, 0}, {server->get(), POLLIN, 0}}};
    std::array<char, 4096> bytes{};
    while (!stop.stop_requested()) {
      if (::poll(ends.data(), ends.size(), kTick.count()) <= 0) continue;
      for (size_t from = 0; from < ends.size(); ++from) {
        if (ends[from].revents == 0) continue;
        const ssize_t got = ::recv(ends[from].fd, bytes.data(), bytes.size(), 0);
        if (got <= 0) return;
        const auto size = static_cast<size_t>(got);
        if (::send(ends[1 - from].fd, bytes.data(), size, MSG_NOSIGNAL) != got) return;
      }
    }
  }

  const UniqueFd listener_;
  const std::string server_path_;
  std::jthread accepter_;
};

}  // namespace cryopod::test
