#include "agent/gateway/service_link.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

namespace cryopod::gateway {
namespace {

constexpr size_t kReadBytesMax = 64 << 10;
constexpr size_t kAnswerHeadBytesMax = 4 << 10;

// The value of a header, of an answer that our own service wrote.
std::string_view HeaderOf(std::string_view head, std::string_view name) {
  size_t at = 0;
  while ((at = head.find("\r\n", at)) != head.npos) {
    at += 2;
    const std::string_view line = head.substr(at, head.find("\r\n", at) - at);
    if (line.size() > name.size() + 2 && line[name.size()] == ':' &&
        ::strncasecmp(line.data(), name.data(), name.size()) == 0) {
      return line.substr(name.size() + 2);
    }
  }
  return {};
}

std::optional<size_t> ToNumber(std::string_view text) {
  size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

Result<ServiceLink> ServiceLink::Make(uint16_t service_port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket", "127.0.0.1");
  // The service's backlog may be full, and nothing else happens while this waits.
  const timeval timeout = {1, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  address.sin_port = ::htons(service_port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Status(Code::kUnavailable,
                  std::string("no connection to the HTTP service: ") + std::strerror(errno));
  }
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) return ErrnoStatus(errno, "fcntl", "link");
  return ServiceLink(std::move(fd));
}

Status ServiceLink::Ask(const std::string& target) {
  // Far below what a socket takes at once.
  const std::string request = "GET " + target + " HTTP/1.1\r\nHost: gateway\r\n\r\n";
  const ssize_t sent = ::send(fd_.get(), request.data(), request.size(), MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(request.size())) {
    return Status(Code::kUnavailable, "the HTTP service has closed the connection");
  }
  received_.clear();
  return Status();
}

Result<std::optional<Answer>> ServiceLink::Receive() {
  char buffer[kReadBytesMax];
  const ssize_t got = ::recv(fd_.get(), buffer, sizeof buffer, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::optional<Answer>();
  if (got <= 0) return Status(Code::kUnavailable, "the HTTP service has closed the connection");
  received_.append(buffer, static_cast<size_t>(got));
  return TakeAnswer();
}

Result<std::optional<Answer>> ServiceLink::TakeAnswer() {
  static constexpr std::string_view kVersion = "HTTP/1.1 ";
  const Status strange(Code::kInternal, "the HTTP service answers what is no HTTP of its own");
  const size_t end = received_.find("\r\n\r\n");
  if (end == std::string::npos) {
    if (received_.size() > kAnswerHeadBytesMax) return strange;
    return std::optional<Answer>();
  }
  const std::string_view head = std::string_view(received_).substr(0, end + 2);
  const std::optional<size_t> length = ToNumber(HeaderOf(head, "content-length"));
  if (!head.starts_with(kVersion) || head.size() < kVersion.size() + 3 || !length) return strange;
  const std::optional<size_t> code = ToNumber(head.substr(kVersion.size(), 3));
  if (!code) return strange;
  if (*length > kAnswerBytesMax) {
    return Status(Code::kResourceExhausted,
                  "an answer of " + std::to_string(*length) + " bytes is too large");
  }
  if (received_.size() < end + 4 + *length) return std::optional<Answer>();
  Answer answer{static_cast<int>(*code), std::string(HeaderOf(head, "content-type")),
                received_.substr(end + 4, *length)};
  received_.clear();
  received_.shrink_to_fit();
  return std::optional<Answer>(std::move(answer));
}

}  // namespace cryopod::gateway
