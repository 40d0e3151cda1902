#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "agent/os/deadline.h"
#include "agent/os/unique_fd.h"

namespace cryopod::gateway::test {

struct HttpResponse {
  int code = 0;
  std::string head;
  std::string body;
};

inline bool SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

enum class When { kAtOnce, kLater };

// A client that sends what a test tells it, byte by byte if need be, and reads what comes.
class HttpClient {
 public:
  // `source` is one of the machine's own: all of 127.0.0.0/8. Later means by Connect().
  explicit HttpClient(uint16_t port, const std::string& source = "127.0.0.1",
                      When when = When::kAtOnce)
      : port_(port), fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in from{};
    from.sin_family = AF_INET;
    ::inet_pton(AF_INET, source.c_str(), &from.sin_addr);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&from), sizeof from), 0);
    if (when == When::kAtOnce) Connect();
  }
  void Connect() {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    to.sin_port = ::htons(port_);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }

  bool Send(std::string_view bytes) { return SendAll(fd_.get(), bytes); }
  // A response with its whole body (none after HEAD); its code is 0 when the connection ends
  // before.
  HttpResponse Receive(bool bodiless = false) {
    HttpResponse response;
    size_t end = std::string::npos;
    while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
      if (!Read()) return {};
    }
    response.head = received_.substr(0, end + 2);
    received_.erase(0, end + 4);
    response.code = std::atoi(response.head.c_str() + sizeof "HTTP/1.1");
    const size_t length = response.head.find("Content-Length: ");
    const size_t size =
        bodiless ? 0 : std::strtoul(response.head.c_str() + length + 16, nullptr, 10);
    while (received_.size() < size) {
      if (!Read()) return {};
    }
    response.body = received_.substr(0, size);
    received_.erase(0, size);
    return response;
  }
  HttpResponse Get(const std::string& target) {
    Send("GET " + target + " HTTP/1.1\r\nHost: n\r\n\r\n");
    return Receive();
  }
  // The other end has closed, and sent nothing more.
  bool Ended() { return received_.empty() && !Read(); }
  int fd() const { return fd_.get(); }

 private:
  bool Read() {
    pollfd waiting = {fd_.get(), POLLIN, 0};
    if (::poll(&waiting, 1, 20'000) != 1) {
      ADD_FAILURE() << "nothing comes";
      return false;
    }
    char buffer[16384];
    const ssize_t got = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    received_.append(buffer, static_cast<size_t>(got));
    return true;
  }

  const uint16_t port_;
  UniqueFd fd_;
  std::string received_;
};

}  // namespace cryopod::gateway::test
