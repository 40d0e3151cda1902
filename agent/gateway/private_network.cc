#include "agent/gateway/private_network.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "agent/os/unique_fd.h"

namespace cryopod::gateway {
namespace {

bool StartLoopback() {
  const UniqueFd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq loopback{};
  std::strcpy(loopback.ifr_name, "lo");
  loopback.ifr_flags = IFF_UP;
  return ::ioctl(any.get(), SIOCSIFFLAGS, &loopback) == 0;
}

}  // namespace

bool EnterPrivateNetwork() {
  // Who is not root takes a namespace of users without any mapping: the kernel goes on taking it
  // for who it was. Root could not become anybody else in there.
  const bool entered = ::unshare(CLONE_NEWNET) == 0 ||
                       (::geteuid() != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0);
  return entered && StartLoopback();
}

}  // namespace cryopod::gateway
