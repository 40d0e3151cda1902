// Numbered bytes on their way between two processes, through every kind of pipe and local socket.
//
//   relay [DIRECTORY]     where the named pipes are made; /tmp unless told otherwise
//
// Byte n of a flow follows from n; the receiver knows which one comes next, so a byte that was
// lost, repeated or came out of order is seen at once. Pauses change their length all the time: at
// a cut some buffers are full with a writer that waits, some have nothing. verify stops the senders
// until nothing is on its way, and then both ends must have counted the same. The counts stand in
// memory that both processes share and, a second time, in that of the thread: both must be of one
// instant.
#include <array>
#include <vector>

#include "tests/workloads/workload.h"

namespace cryopod::workload {
namespace {

constexpr std::size_t kChunkBytesMax = 4096;
constexpr std::size_t kPacketBytesMin = 16;
constexpr std::size_t kPacketBytesMax = 1200;
constexpr int kStepsPerPace = 50;
// Senders are the faster ones, so that buffers fill; a receiver in haste empties them again.
constexpr std::uint64_t kSenderPauseUsMax = 40'000;
constexpr std::uint64_t kReceiverPauseUsMax = 80'000;
constexpr auto kDrainTimeout = std::chrono::seconds(20);

enum class Kind : std::size_t { kPipe, kNamedPipe, kStream, kDatagram, kPackets, kConnection };
constexpr std::array<const char*, 6> kNames = {"pipe",     "named pipe", "stream",
                                               "datagram", "packets",    "connection"};
constexpr std::size_t kFlows = 2 * kNames.size();

enum Fault : std::uint32_t { kNone, kOtherBytes, kOtherSize, kEnd, kOtherCount, kFailed };
constexpr std::array<const char*, 6> kFaults = {
    "nothing",          "a byte that is not the next", "a packet of another size",
    "an end of stream", "a count of another instant",  "a failed call"};

// One direction of a channel, in memory that both processes share.
struct Flow {
  std::atomic<std::uint64_t> sent = 0;
  std::atomic<std::uint64_t> received = 0;
  std::atomic<std::uint64_t> violations = 0;
  std::atomic<std::uint64_t> first_at = 0;
  std::atomic<std::uint32_t> first_fault = kNone;
  std::atomic<bool> is_sender_standing = false;
  std::atomic<bool> skips_a_byte = false;
};

struct Board {
  std::atomic<bool> senders_stand = false;
  std::uint64_t seed = RandomNumber();
  std::array<Flow, kFlows> flows;
};

struct Ends {
  int in = -1;
  int out = -1;
};

// Both processes' ends of a channel that carries a flow each way.
struct Channel {
  Ends first;
  Ends second;
};

// One end of a flow, in the thread that has it.
class FlowEnd {
 public:
  FlowEnd(Board& board, std::size_t index, int fd)
      : board_(board), flow_(board.flows[index]), seed_(Mix(board.seed + index)), fd_(fd) {
    const Kind kind = static_cast<Kind>(index / 2);
    has_packets_ = kind == Kind::kDatagram || kind == Kind::kPackets;
  }

  [[noreturn]] void SendForEver() {
    for (;;) {
      Pause(kSenderPauseUsMax);
      flow_.is_sender_standing = board_.senders_stand.load();
      if (flow_.is_sender_standing) continue;
      if (flow_.skips_a_byte.exchange(false)) flow_.sent = ++count_;
      const std::size_t size = has_packets_ ? PacketBytes() : Chance() % kChunkBytesMax + 1;
      Fill(size);
      const ssize_t sent = ::write(fd_, buffer_.data(), size);
      if (sent <= 0) {
        Failed(sent);
        continue;
      }
      if (flow_.sent != count_) Violation(kOtherCount);
      flow_.sent = count_ += static_cast<std::uint64_t>(sent);
    }
  }

  // `ends_with_other`: the end of the stream is the end of the other process, and of this one.
  [[noreturn]] void ReceiveForEver(bool ends_with_other) {
    std::array<unsigned char, kChunkBytesMax> got;
    for (;;) {
      if (!board_.senders_stand) Pause(kReceiverPauseUsMax);
      const std::size_t wanted = has_packets_ ? got.size() : Chance() % kChunkBytesMax + 1;
      const ssize_t size = ::read(fd_, got.data(), wanted);
      if (size == 0 && ends_with_other) std::_Exit(0);
      if (size <= 0) {
        Failed(size);
        continue;
      }
      const auto received = static_cast<std::size_t>(size);
      if (has_packets_ && received != PacketBytes()) Violation(kOtherSize);
      Fill(received);
      if (std::memcmp(got.data(), buffer_.data(), received) != 0) Violation(kOtherBytes);
      if (flow_.received != count_) Violation(kOtherCount);
      flow_.received = count_ += received;
    }
  }

 private:
  std::uint64_t Chance() { return chance_ = Mix(chance_); }

  void Pause(std::uint64_t pause_us_max) {
    if (step_++ % kStepsPerPace == 0) pause_us_ = Chance() % pause_us_max + 1;
    std::this_thread::sleep_for(std::chrono::microseconds(pause_us_));
  }

  // Both ends know where packets end.
  std::size_t PacketBytes() const {
    return kPacketBytesMin + Mix(seed_ ^ ~count_) % (kPacketBytesMax - kPacketBytesMin);
  }

  // The bytes that come next.
  void Fill(std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
      const std::uint64_t number = count_ + i;
      if (i == 0 || number % 8 == 0) word_ = Mix(seed_ + number / 8);
      buffer_[i] = static_cast<unsigned char>(word_ >> (number % 8 * 8));
    }
  }

  // A call that no signal of the application has interrupted may still have been: by the freeze.
  void Failed(ssize_t result) {
    if (result < 0 && errno == EINTR) return;
    Violation(result == 0 ? kEnd : kFailed);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }

  void Violation(Fault fault) {
    if (flow_.violations++ != 0) return;
    flow_.first_at = count_;
    flow_.first_fault = fault;
  }

  Board& board_;
  Flow& flow_;
  const std::uint64_t seed_;
  const int fd_;
  bool has_packets_ = false;
  std::uint64_t count_ = 0;
  std::uint64_t word_ = 0;
  std::uint64_t chance_ = RandomNumber();
  std::uint64_t pause_us_ = 0;
  int step_ = 0;
  std::array<unsigned char, kChunkBytesMax> buffer_;
};

Ends MakePipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) Die("pipe2");
  return {.in = fds[0], .out = fds[1]};
}

Ends MakeNamedPipe(const std::string& path) {
  ::unlink(path.c_str());
  if (::mkfifo(path.c_str(), 0600) != 0) Die(path);
  // Opening one end alone would wait for the other.
  Ends ends;
  ends.in = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ends.out = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (ends.in < 0 || ends.out < 0 || ::fcntl(ends.in, F_SETFL, 0) != 0) Die(path);
  return ends;
}

Channel MakePair(int type) {
  int fds[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0) Die("socketpair");
  return {.first = {fds[0], fds[0]}, .second = {fds[1], fds[1]}};
}

// As between a client and a server; an abstract name needs no file.
Channel MakeConnection() {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string name = "relay-" + Hex(RandomNumber());
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int client = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (::bind(listener, generic, size) != 0 || ::listen(listener, 1) != 0 ||
      ::connect(client, generic, size) != 0) {
    Die("connection");
  }
  const int server = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (server < 0) Die("accept");
  ::close(listener);
  return {.first = {client, client}, .second = {server, server}};
}

Channel MakeChannel(Kind kind, const std::string& directory) {
  if (kind == Kind::kStream) return MakePair(SOCK_STREAM);
  if (kind == Kind::kDatagram) return MakePair(SOCK_DGRAM);
  if (kind == Kind::kPackets) return MakePair(SOCK_SEQPACKET);
  if (kind == Kind::kConnection) return MakeConnection();
  const bool is_named = kind == Kind::kNamedPipe;
  const Ends there = is_named ? MakeNamedPipe(directory + "/relay_there") : MakePipe();
  const Ends back = is_named ? MakeNamedPipe(directory + "/relay_back") : MakePipe();
  return {.first = {back.in, there.out}, .second = {there.in, back.out}};
}

// So that the end of one process is seen by the other.
void Close(const Ends& ends) {
  ::close(ends.in);
  if (ends.out != ends.in) ::close(ends.out);
}

// One process's ends of all channels: the first one sends the even flows and receives the odd ones.
void StartThreads(Board& board, const std::vector<Channel>& channels, bool is_first) {
  for (std::size_t i = 0; i < channels.size(); ++i) {
    Close(is_first ? channels[i].second : channels[i].first);
    const Ends ends = is_first ? channels[i].first : channels[i].second;
    const std::size_t sends = 2 * i + (is_first ? 0 : 1);
    const std::size_t receives = 2 * i + (is_first ? 1 : 0);
    std::thread([&board, sends, ends] { FlowEnd(board, sends, ends.out).SendForEver(); }).detach();
    std::thread([&board, receives, ends, is_first] {
      FlowEnd(board, receives, ends.in).ReceiveForEver(!is_first);
    }).detach();
  }
}

class Relay final : public Workload {
 public:
  explicit Relay(Board& board) : board_(board) {}

  JsonLine Report() override {
    std::uint64_t received = 0;
    std::uint64_t in_flight = 0;
    std::uint64_t violations = 0;
    for (const Flow& flow : board_.flows) {
      received += flow.received;
      // A receiver may be ahead of a sender that has not counted yet.
      in_flight += flow.sent - std::min<std::uint64_t>(flow.received, flow.sent);
      violations += flow.violations;
    }
    return JsonLine()
        .Number("received_bytes", received)
        .Number("in_flight_bytes", in_flight)
        .Number("violations", violations);
  }

  std::string Verify() override {
    board_.senders_stand = true;
    Soon(kDrainTimeout, [&] { return NotDrained().empty() || !FirstViolation().empty(); });
    const std::string not_drained = NotDrained();
    board_.senders_stand = false;
    const std::string violation = FirstViolation();
    return violation.empty() ? not_drained : violation;
  }

  void Corrupt() override { board_.flows[0].skips_a_byte = true; }

 private:
  static std::string Name(std::size_t flow) {
    return kNames[flow / 2] + std::string(flow % 2 == 0 ? " there" : " back");
  }

  std::string NotDrained() const {
    for (std::size_t i = 0; i < kFlows; ++i) {
      const Flow& flow = board_.flows[i];
      if (!flow.is_sender_standing) return Name(i) + ": the sender does not come back";
      if (flow.sent == flow.received) continue;
      return Name(i) + ": sent " + std::to_string(flow.sent) + " bytes, received " +
             std::to_string(flow.received);
    }
    return "";
  }

  std::string FirstViolation() const {
    for (std::size_t i = 0; i < kFlows; ++i) {
      const Flow& flow = board_.flows[i];
      if (flow.violations == 0) continue;
      return Name(i) + ": " + std::to_string(flow.violations) + " violations, first " +
             kFaults[flow.first_fault] + " at " + std::to_string(flow.first_at);
    }
    return "";
  }

  Board& board_;
};

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("relay", argc, argv);
  Board& board = MakeShared<Board>();
  std::vector<Channel> channels;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    channels.push_back(MakeChannel(static_cast<Kind>(i), argc > 1 ? argv[1] : "/tmp"));
  }
  const pid_t child = Fork();
  StartThreads(board, channels, child != 0);
  while (child == 0) ::pause();
  static Relay relay(board);
  Serve("relay", relay);
}
