#include "agent/gateway/front.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/os/log.h"

namespace cryopod::gateway {
namespace {

using metrics::ConnectionEnd;

// Numbers of events: these, then two an exchange, its client's and its service's.
constexpr uint64_t kListenerEvent = 0;
constexpr uint64_t kEndEvent = 1;
constexpr uint32_t kBothWays = EPOLLIN | EPOLLOUT | EPOLLET;

// Deadlines are kept to so closely.
constexpr int kSweepIntervalMs = 250;
constexpr int kEventsMax = 64;
constexpr int kAcceptsPerTurn = 64;

// Who it is as far as limits go: an IPv4 address, or the network of an IPv6 one, where a single
// machine has 2^64 addresses.
std::string AddressOf(const sockaddr_storage& peer) {
  if (peer.ss_family == AF_INET6) {
    const auto& six = reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
    return std::string(reinterpret_cast<const char*>(&six), 8);
  }
  const auto& four = reinterpret_cast<const sockaddr_in&>(peer).sin_addr;
  return std::string(reinterpret_cast<const char*>(&four), sizeof four);
}

void SendAtOnce(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// Connected or about to be; invalid when there is no descriptor or nobody listens.
UniqueFd ConnectService(uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fd;
  // An answer that nobody takes waits in the service, not in the kernel's memory for this process.
  const int receive_bytes = 4 * static_cast<int>(Exchange::kPipeBytesMax);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
  SendAtOnce(fd.get());
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  address.sin_port = ::htons(port);
  const auto* const to = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(fd.get(), to, sizeof address) != 0 && errno != EINPROGRESS) fd.Reset();
  return fd;
}

class Loop : public Front {
 public:
  Loop(UniqueFd listener, std::optional<TlsServer> tls, uint16_t service_port,
       const FrontOptions& options, metrics::GatewayMetrics& metrics)
      : options_(options),
        listener_(std::move(listener)),
        tls_(std::move(tls)),
        service_port_(service_port),
        metrics_(metrics),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        end_event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Loop() override {
    const uint64_t one = 1;
    (void)!::write(end_event_.get(), &one, sizeof one);
  }

  Status Begin() {
    if (!epoll_.valid() || !end_event_.valid()) return ErrnoStatus(errno, "epoll", "the front");
    CRYOPOD_RETURN_IF_ERROR(Watch(listener_.get(), EPOLLIN, kListenerEvent));
    CRYOPOD_RETURN_IF_ERROR(Watch(end_event_.get(), EPOLLIN, kEndEvent));
    thread_ = std::jthread([this] { Run(); });
    return Status();
  }

 private:
  Status Watch(int fd, uint32_t events, uint64_t number) const {
    epoll_event event{};
    event.events = events;
    event.data.u64 = number;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return Status();
    return ErrnoStatus(errno, "epoll_ctl", "a socket");
  }

  void Run() {
    Deadline sweep = Deadline::After(std::chrono::nanoseconds(0));
    std::array<epoll_event, kEventsMax> events{};
    while (!ended_) {
      const bool waits = !exchanges_.empty() || !accepting_;
      const int timeout_ms = !again_.empty() ? 0 : waits ? sweep.poll_timeout_ms() : -1;
      const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsMax, timeout_ms);
      for (const uint64_t id : std::exchange(again_, {})) Advance(id);
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<size_t>(i)];
        OnEvent(event.data.u64, event.events);
      }
      if (sweep.expired()) {
        Sweep();
        sweep = Deadline::After(std::chrono::milliseconds(kSweepIntervalMs));
      }
    }
  }

  void OnEvent(uint64_t number, uint32_t events) {
    if (number == kListenerEvent) {
      Accept();
    } else if (number == kEndEvent) {
      ended_ = true;
    } else if (number % 2 == 0 && (events & (EPOLLHUP | EPOLLERR)) != 0) {
      Close(number / 2);
    } else {
      Advance(number / 2);
    }
  }

  void Accept() {
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
      sockaddr_storage peer{};
      socklen_t size = sizeof peer;
      UniqueFd fd(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer), &size,
                            SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd.valid()) {
        Admit(std::move(fd), AddressOf(peer));
      } else if (errno == EAGAIN) {
        return;
      } else if (errno != EINTR && errno != ECONNABORTED) {
        // No descriptors or memory: what waits in the backlog waits on, and times make room. Nobody
        // is ended for it, since the kernel says so before it looks whether anybody waits.
        accepting_ = ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_.get(), nullptr) != 0;
        return;
      }
    }
  }

  void Admit(UniqueFd fd, const std::string& address) {
    metrics_.CountConnection();
    SendAtOnce(fd.get());
    const uint64_t id = next_id_++;
    const bool room = MakeRoom(address) && Watch(fd.get(), kBothWays, 2 * id).ok();
    Result<ByteStream> client = tls_ ? tls_->MakeStream(std::move(fd)) : ByteStream(std::move(fd));
    if (!room || !client.ok()) {
      metrics_.CountEnd(ConnectionEnd::kRefused);
      return;
    }
    exchanges_.emplace(id, std::make_unique<Exchange>(std::move(client).value(), address,
                                                      options_.timeouts, metrics_));
    metrics_.SetConnections(exchanges_.size());
  }

  bool MakeRoom(const std::string& address) {
    const auto own = [&](const auto& exchange) { return exchange.address() == address; };
    const auto count = std::count_if(exchanges_.begin(), exchanges_.end(),
                                     [&](const auto& entry) { return own(*entry.second); });
    if (static_cast<size_t>(count) >= options_.connections_per_address_max) {
      return EndLongestWaiting(own);
    }
    return exchanges_.size() < options_.connections_max ||
           EndLongestWaiting([](const Exchange&) { return true; });
  }

  bool MakeRoomForBody(const Exchange& exchange) {
    const auto bodies_bytes = [this] {
      uint64_t sum = 0;
      for (const auto& [id, each] : exchanges_) sum += each->body_bytes();
      return sum;
    };
    while (exchange.body_bytes() > 0 && bodies_bytes() > options_.bodies_bytes_max) {
      if (!EndLongestWaiting([](const Exchange& other) { return other.receives_body(); })) {
        return false;
      }
    }
    return true;
  }

  // Of those that `among` names; false when there is none.
  bool EndLongestWaiting(const std::function<bool(const Exchange&)>& among) {
    auto longest = exchanges_.end();
    for (auto it = exchanges_.begin(); it != exchanges_.end(); ++it) {
      const Exchange& exchange = *it->second;
      if (!exchange.waits_for_client() || !among(exchange)) continue;
      if (longest == exchanges_.end() || exchange.since() < longest->second->since()) longest = it;
    }
    if (longest == exchanges_.end()) return false;
    metrics_.CountEnd(ConnectionEnd::kMadeRoom);
    Close(longest->first);
    return true;
  }

  void Advance(uint64_t id) {
    while (true) {
      const auto it = exchanges_.find(id);
      if (it == exchanges_.end()) return;
      switch (it->second->Advance()) {
        case Exchange::Step::kBlocked:
          return;
        case Exchange::Step::kMore:
          again_.insert(id);
          return;
        case Exchange::Step::kEnded:
          Close(id);
          return;
        case Exchange::Step::kHead:
          Serve(id, *it->second);
      }
    }
  }

  void Serve(uint64_t id, Exchange& exchange) {
    if (exchange.body_bytes() > options_.bodies_bytes_max) {
      exchange.Refuse(413);
      return;
    }
    UniqueFd service;
    if (MakeRoomForBody(exchange)) service = ConnectService(service_port_);
    if (service.valid() && Watch(service.get(), kBothWays, 2 * id + 1).ok()) {
      exchange.Serve(ByteStream(std::move(service)));
    } else {
      exchange.Refuse(503);
    }
  }

  void Close(uint64_t id) {
    exchanges_.erase(id);
    metrics_.SetConnections(exchanges_.size());
  }

  void Sweep() {
    if (!accepting_) accepting_ = Watch(listener_.get(), EPOLLIN, kListenerEvent).ok();
    std::vector<uint64_t> overdue;
    for (const auto& [id, exchange] : exchanges_) {
      if (exchange->overdue()) overdue.push_back(id);
    }
    for (const uint64_t id : overdue) {
      if (exchanges_.at(id)->Expire()) {
        Advance(id);
      } else {
        Close(id);
      }
    }
  }

  const FrontOptions options_;
  UniqueFd listener_;
  const std::optional<TlsServer> tls_;
  const uint16_t service_port_;
  metrics::GatewayMetrics& metrics_;
  UniqueFd epoll_;
  UniqueFd end_event_;
  bool ended_ = false;
  bool accepting_ = true;
  std::map<uint64_t, std::unique_ptr<Exchange>> exchanges_;
  std::set<uint64_t> again_;  // exchanges that had their share of this turn
  uint64_t next_id_ = 1;
  std::jthread thread_;  // last: it uses all above
};

}  // namespace

Result<std::unique_ptr<Front>> Front::Start(UniqueFd listener, std::optional<TlsServer> tls,
                                            uint16_t service_port, const FrontOptions& options,
                                            metrics::GatewayMetrics& metrics) {
  auto front =
      std::make_unique<Loop>(std::move(listener), std::move(tls), service_port, options, metrics);
  CRYOPOD_RETURN_IF_ERROR(front->Begin());
  return std::unique_ptr<Front>(std::move(front));
}

}  // namespace cryopod::gateway
