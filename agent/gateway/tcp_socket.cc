#include "agent/gateway/tcp_socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "agent/os/text.h"

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
  if (!ParseNumber(std::string_view(text).substr(colon + 1), port)) return wrong;
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
  Endpoint local;
  local.size = sizeof local.address;
  auto* const address = reinterpret_cast<sockaddr*>(&local.address);
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (::getsockname(fd, address, &local.size) != 0 ||
      ::getnameinfo(address, local.size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "";
  }
  const bool is_six = local.address.ss_family == AF_INET6;
  return (is_six ? "[" + std::string(host) + "]" : host) + std::string(":") + port;
}

Result<uint16_t> FindFreePort() {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd probe, ListenTcp("127.0.0.1:0"));
  const std::string endpoint = LocalEndpoint(probe.get());
  uint16_t port = 0;
  if (ParseNumber(std::string_view(endpoint).substr(endpoint.rfind(':') + 1), port)) return port;
  return Status(Code::kInternal, "a socket of 127.0.0.1 has the address \"" + endpoint + "\"");
}

}  // namespace cryopod::gateway
