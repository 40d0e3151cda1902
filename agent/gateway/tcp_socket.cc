#include "agent/gateway/tcp_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace cryopod::gateway {
namespace {

constexpr int kBacklog = 1024;

struct Endpoint {
  sockaddr_storage address{};
  socklen_t size = 0;
};

Result<Endpoint> ParseEndpoint(const std::string& text) {
  const Status wrong(Code::kInvalidArgument,
                     "\"" + text + "\" is no ADDRESS:PORT, such as 127.0.0.1:9464 or [::1]:9464");
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return wrong;
  uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data() + colon + 1, end, port);
  if (error != std::errc() || stopped != end) return wrong;
  std::string host = text.substr(0, colon);
  Endpoint endpoint;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    auto* const address = reinterpret_cast<sockaddr_in6*>(&endpoint.address);
    address->sin6_family = AF_INET6;
    address->sin6_port = ::htons(port);
    endpoint.size = sizeof *address;
    if (::inet_pton(AF_INET6, host.c_str(), &address->sin6_addr) != 1) return wrong;
  } else {
    auto* const address = reinterpret_cast<sockaddr_in*>(&endpoint.address);
    address->sin_family = AF_INET;
    address->sin_port = ::htons(port);
    endpoint.size = sizeof *address;
    if (::inet_pton(AF_INET, host.c_str(), &address->sin_addr) != 1) return wrong;
  }
  return endpoint;
}

}  // namespace

Status CheckEndpoint(const std::string& text) { return ParseEndpoint(text).status(); }

Result<UniqueFd> ListenTcp(const std::string& text) {
  CRYOPOD_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(text));
  UniqueFd fd(::socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket", text);
  // A gateway that is started again does not wait for the old one's connections.
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&endpoint.address), endpoint.size) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    return Status(Code::kUnavailable, "cannot listen on " + text + ": " + std::strerror(errno));
  }
  return fd;
}

std::string LocalEndpoint(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET6) {
    const auto* const six = reinterpret_cast<const sockaddr_in6*>(&address);
    ::inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof text);
    return "[" + std::string(text) + "]:" + std::to_string(::ntohs(six->sin6_port));
  }
  const auto* const four = reinterpret_cast<const sockaddr_in*>(&address);
  ::inet_ntop(AF_INET, &four->sin_addr, text, sizeof text);
  return std::string(text) + ":" + std::to_string(::ntohs(four->sin_port));
}

}  // namespace cryopod::gateway
