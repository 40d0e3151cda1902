// Two containers of a pod exchange numbered messages over localhost without a pause.
//
//   exchange listen [PORT]
//   exchange connect [PORT]
//
// Proves that the cut of a checkpoint is one. Each side counts a message as sent *before* it sends
// it, and as received after it got it, all in its own memory. If both memories come from one
// instant, no side can have received what the other's memory does not know as sent. If they do not,
// the side that was cut earlier sends numbers again that the other has already had, and learns from
// the other's messages of numbers that it never sent. Both are looked for in every message, so a
// restored pod finds a torn cut by itself: in `violations`, and verify is bad.
//
// UDP, because its sockets survive a dump. Messages may get lost; over loopback none comes twice.
#include <arpa/inet.h>
#include <netinet/in.h>

#include <vector>

#include "tests/workloads/workload.h"

namespace cryopod::workload {
namespace {

constexpr std::uint16_t kDefaultPort = 7400;
constexpr std::uint64_t kWindow = 256;  // messages sent beyond what the other has confirmed
constexpr std::uint64_t kRemembered = 1U << 16;  // numbers checked for coming twice
// Some ten thousand messages a second: always some on their way, and yet the processors are
// left to those who make the cut.
constexpr int kBurst = 32;
constexpr auto kPause = std::chrono::microseconds(500);
constexpr int kStalledWaits = 20;
constexpr auto kSilenceMax = std::chrono::seconds(3);

struct Message {
  std::uint64_t number;            // counted from 1
  std::uint64_t highest_received;  // by the sender, at the time of sending
};

class Exchange final : public Workload {
 public:
  Exchange(std::string role, std::uint16_t own_port, std::uint16_t other_port)
      : role_(std::move(role)), seen_(kRemembered) {
    socket_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const timeval limit = {.tv_sec = 0, .tv_usec = 100'000};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    const sockaddr_in own = Localhost(own_port);
    const sockaddr_in other = Localhost(other_port);
    if (::bind(socket_, reinterpret_cast<const sockaddr*>(&own), sizeof(own)) != 0) Die("bind");
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&other), sizeof(other)) != 0) {
      Die("connect");
    }
  }

  void Start() {
    std::thread([this] { SendForEver(); }).detach();
    std::thread([this] { ReceiveForEver(); }).detach();
  }

  JsonLine Report() override {
    const std::lock_guard lock(mutex_);
    return JsonLine()
        .Text("role", role_)
        .Number("sent", sent_)
        .Number("highest_received", highest_received_)
        .Number("received", received_)
        .Number("confirmed", confirmed_)
        .Number("violations", violations_.count());
  }

  // Also bad when the exchange stands still: it would prove nothing.
  std::string Verify() override {
    const std::lock_guard lock(mutex_);
    if (violations_.count() != 0) return violations_.Reason();
    if (std::chrono::steady_clock::now() - last_received_ > kSilenceMax) return "hears nothing";
    return "";
  }

  // As if this side had been cut earlier than the other.
  void Corrupt() override {
    const std::lock_guard lock(mutex_);
    sent_ -= std::min<std::uint64_t>(sent_, 2 * kWindow);
    confirmed_ = std::min(confirmed_, sent_);
  }

 private:
  static sockaddr_in Localhost(std::uint16_t port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  // The next message, already counted as sent; nothing to send while the window is full. A lost
  // window would stop both sides, so after `is_stalled` one more goes.
  bool NextMessage(bool is_stalled, Message& message) {
    const std::lock_guard lock(mutex_);
    if (!is_stalled && sent_ >= confirmed_ + kWindow) return false;
    message = {.number = ++sent_, .highest_received = highest_received_};
    return true;
  }

  [[noreturn]] void SendForEver() {
    int waits = 0;
    for (;;) {
      int sent = 0;
      for (; sent < kBurst; ++sent) {
        Message message = {};
        if (!NextMessage(waits >= kStalledWaits, message)) break;
        waits = 0;
        // Refused while the other side is not there yet; that is the same as lost.
        if (::send(socket_, &message, sizeof(message), 0) < 0) break;
      }
      std::this_thread::sleep_for(kPause);
      waits = sent == 0 ? waits + 1 : 0;
    }
  }

  [[noreturn]] void ReceiveForEver() {
    for (;;) {
      Message message = {};
      if (::recv(socket_, &message, sizeof(message), 0) == sizeof(message)) Account(message);
    }
  }

  void Account(const Message& message) {
    const std::lock_guard lock(mutex_);
    last_received_ = std::chrono::steady_clock::now();
    ++received_;
    std::uint64_t& slot = seen_[message.number % kRemembered];
    if (slot == message.number || message.number + kRemembered <= highest_received_) {
      violations_.Add("message " + std::to_string(message.number) +
                      " came twice; the sender forgot it");
    }
    slot = message.number;
    highest_received_ = std::max(highest_received_, message.number);
    if (message.highest_received > sent_) {
      violations_.Add("the other has " + std::to_string(message.highest_received) +
                      ", sent are only " + std::to_string(sent_));
    }
    confirmed_ = std::max(confirmed_, message.highest_received);
  }

  const std::string role_;
  int socket_ = -1;
  std::mutex mutex_;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t highest_received_ = 0;
  std::uint64_t confirmed_ = 0;  // the highest of ours that the other says to have
  Violations violations_;
  std::vector<std::uint64_t> seen_;
  std::chrono::steady_clock::time_point last_received_ = {};
};

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  const std::string role = argc > 1 ? argv[1] : "";
  Begin("exchange", argc, argv);
  constexpr const char* kUsage = "exchange listen|connect [PORT]";
  if (role != "listen" && role != "connect") NumberArgument(0, argv, 1, kUsage);
  const auto port =
      static_cast<std::uint16_t>(argc > 2 ? NumberArgument(argc, argv, 2, kUsage) : kDefaultPort);
  const auto next = static_cast<std::uint16_t>(port + 1);
  static Exchange exchange(role, role == "listen" ? port : next, role == "listen" ? next : port);
  exchange.Start();
  Serve("exchange", exchange);
}
