#include "agent/gateway/front_loop.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "agent/os/log.h"

namespace cryopod::gateway {
namespace {

using metrics::ConnectionEnd;

// Numbers of events: routes first (ServiceQuestions), then these, then clients.
constexpr uint64_t kListenerEvent = kRouteCount;
constexpr uint64_t kEndEvent = kRouteCount + 1;
constexpr uint64_t kFirstClient = 64;

// Deadlines of clients are kept to so closely.
constexpr int kSweepIntervalMs = 250;
constexpr int kEventsMax = 64;
constexpr int kAcceptsPerTurn = 64;
// One client that sends request after request does not hold up the others.
constexpr int kStepsPerTurn = 8;

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

Status Add(int epoll_fd, int fd, uint64_t number) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = number;
  if (::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) return Status();
  return ErrnoStatus(errno, "epoll_ctl", "a socket");
}

}  // namespace

FrontLoop::FrontLoop(UniqueFd listener, std::optional<TlsServer> tls, uint16_t service_port,
                     const FrontOptions& options, metrics::GatewayMetrics& metrics)
    : options_(options),
      listener_(std::move(listener)),
      tls_(std::move(tls)),
      questions_(service_port, options_),
      metrics_(metrics),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      end_event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      next_id_(kFirstClient) {}

Status FrontLoop::Prepare() {
  if (!epoll_.valid() || !end_event_.valid()) return ErrnoStatus(errno, "epoll", "the front");
  questions_.SetEpoll(epoll_.get());
  CRYOPOD_RETURN_IF_ERROR(Add(epoll_.get(), listener_.get(), kListenerEvent));
  return Add(epoll_.get(), end_event_.get(), kEndEvent);
}

void FrontLoop::End() {
  const uint64_t one = 1;
  (void)!::write(end_event_.get(), &one, sizeof one);
}

void FrontLoop::Run() {
  Deadline sweep = Deadline::After(std::chrono::nanoseconds(0));
  std::array<epoll_event, kEventsMax> events{};
  while (!ended_) {
    const bool waits = !clients_.empty() || !accepting_;
    const int timeout_ms = !again_.empty() ? 0 : waits ? sweep.poll_timeout_ms() : -1;
    const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsMax, timeout_ms);
    for (const uint64_t id : std::exchange(again_, {})) Advance(id);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      const uint64_t number = event.data.u64;
      if (number >= kFirstClient) {
        OnClient(number, event.events);
      } else if (number == kListenerEvent) {
        Accept();
      } else if (number == kEndEvent) {
        ended_ = true;
      } else if (const auto answered = questions_.Receive(static_cast<Route>(number))) {
        Deliver(*answered);
      }
    }
    if (sweep.expired()) {
      Sweep();
      sweep = Deadline::After(std::chrono::milliseconds(kSweepIntervalMs));
    }
  }
}

void FrontLoop::Accept() {
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
      // No descriptors or memory: room is made, and what waits in the backlog waits on.
      PauseAccepting();
      return;
    }
  }
}

void FrontLoop::PauseAccepting() {
  if (const auto victim = LongestWaiting(nullptr); victim != clients_.end()) {
    CloseFor(victim->first, ConnectionEnd::kMadeRoom);
  }
  accepting_ = ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_.get(), nullptr) != 0;
}

void FrontLoop::Admit(UniqueFd fd, std::string address) {
  metrics_.CountConnection();
  if (!MakeRoom(address)) {
    metrics_.CountEnd(ConnectionEnd::kRefused);
    return;
  }
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const int number = fd.get();
  std::unique_ptr<ByteStream> stream = tls_ ? tls_->MakeStream(number) : MakePlainStream(number);
  const uint64_t id = next_id_;
  if (stream == nullptr || !Add(epoll_.get(), number, id).ok()) {
    metrics_.CountEnd(ConnectionEnd::kRefused);
    return;
  }
  ++next_id_;
  ++per_address_[address];
  clients_.emplace(id, std::make_unique<Client>(std::move(fd), std::move(stream),
                                                std::move(address), options_.timeouts));
  metrics_.SetConnections(clients_.size());
}

bool FrontLoop::MakeRoom(const std::string& address) {
  const auto own = per_address_.find(address);
  const bool many =
      own != per_address_.end() && own->second >= options_.connections_per_address_max;
  if (!many && clients_.size() < options_.connections_max) return true;
  const auto victim = LongestWaiting(many ? &address : nullptr);
  if (victim == clients_.end()) return false;
  CloseFor(victim->first, ConnectionEnd::kMadeRoom);
  return true;
}

FrontLoop::ClientMap::iterator FrontLoop::LongestWaiting(const std::string* address) {
  auto longest = clients_.end();
  for (auto it = clients_.begin(); it != clients_.end(); ++it) {
    const Client& client = *it->second;
    if (address != nullptr && client.address() != *address) continue;
    const bool works =
        client.phase() == Client::Phase::kWaiting || client.phase() == Client::Phase::kWriting;
    if (works) continue;
    if (longest == clients_.end() || client.waiting_since() < longest->second->waiting_since()) {
      longest = it;
    }
  }
  return longest;
}

void FrontLoop::OnClient(uint64_t id, uint32_t events) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  const bool gone = (events & (EPOLLHUP | EPOLLERR)) != 0;
  if (gone && it->second->phase() == Client::Phase::kWaiting) {
    Close(id);
    return;
  }
  Advance(id);
}

void FrontLoop::Advance(uint64_t id) {
  for (int step = 0; step < kStepsPerTurn; ++step) {
    const auto it = clients_.find(id);
    if (it == clients_.end()) return;
    if (!Go(id, *it->second, it->second->Advance())) return;
  }
  again_.push_back(id);
}

// False when the client can do no more for now.
bool FrontLoop::Go(uint64_t id, Client& client, Client::Step step) {
  switch (step) {
    case Client::Step::kBlocked:
      Watch(id, client);
      return false;
    case Client::Step::kRequest:
      Request(id, client);
      return true;
    case Client::Step::kRefused:
      metrics_.CountRequest("other", client.refused_with());
      client.Respond(MakeAnswer(client.refused_with()), false);
      return true;
    case Client::Step::kWritten:
      return true;
    case Client::Step::kTlsFailed:
      CloseFor(id, ConnectionEnd::kTls);
      return false;
    case Client::Step::kEnded:
      break;
  }
  Close(id);
  return false;
}

void FrontLoop::Request(uint64_t id, Client& client) {
  if (client.request().method == Method::kOther) {
    Respond(client, MakeAnswer(405), true);
  } else if (const auto answer = questions_.Ask(RouteOf(client.request()), id)) {
    Respond(client, answer, true);
  }
}

void FrontLoop::Respond(Client& client, const std::shared_ptr<const Answer>& answer, bool keep) {
  const Route route = RouteOf(client.request());
  metrics_.CountRequest(kRoutes[static_cast<size_t>(route)].label, answer->http_status);
  client.Respond(answer, keep);
}

void FrontLoop::Deliver(const ServiceQuestions::Answered& answered) {
  for (const uint64_t id : answered.clients) {
    const auto it = clients_.find(id);
    if (it == clients_.end()) continue;
    Respond(*it->second, answered.answer, true);
    Advance(id);
  }
}

void FrontLoop::Watch(uint64_t id, const Client& client) {
  epoll_event event{};
  event.events = client.wants();
  event.data.u64 = id;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, client.fd(), &event);
}

void FrontLoop::Close(uint64_t id) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  const Client& client = *it->second;
  if (client.phase() == Client::Phase::kWaiting) {
    questions_.Forget(RouteOf(client.request()), id);
  }
  const auto own = per_address_.find(client.address());
  if (--own->second == 0) per_address_.erase(own);
  clients_.erase(it);
  metrics_.SetConnections(clients_.size());
}

void FrontLoop::CloseFor(uint64_t id, ConnectionEnd reason) {
  metrics_.CountEnd(reason);
  Close(id);
}

void FrontLoop::Sweep() {
  for (const auto& answered : questions_.Expire()) Deliver(answered);
  if (!accepting_) accepting_ = Add(epoll_.get(), listener_.get(), kListenerEvent).ok();
  std::vector<uint64_t> late;
  for (const auto& [id, client] : clients_) {
    if (client->phase() != Client::Phase::kWaiting && client->deadline().expired()) {
      late.push_back(id);
    }
  }
  for (const uint64_t id : late) SweepClient(id, *clients_.at(id));
}

void FrontLoop::SweepClient(uint64_t id, Client& client) {
  if (client.phase() == Client::Phase::kWriting) {
    CloseFor(id, ConnectionEnd::kResponseSlow);
  } else if (client.phase() == Client::Phase::kDraining) {
    Close(id);
  } else if (!client.amid_request()) {
    CloseFor(id, ConnectionEnd::kIdle);
  } else if (client.has_sent_bytes()) {
    metrics_.CountEnd(ConnectionEnd::kRequestSlow);
    metrics_.CountRequest("other", 408);
    client.Respond(MakeAnswer(408), false);
    Advance(id);
  } else {
    CloseFor(id, ConnectionEnd::kRequestSlow);
  }
}

}  // namespace cryopod::gateway
