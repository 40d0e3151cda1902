// What all workloads share: how they are started, asked and judged.
//
//   NAME ARGUMENTS…      runs and serves one-line requests on a Unix stream socket
//   NAME ask REQUEST     sends one request, prints the answer, and says the same by its exit code:
//                        0 fine, 1 the answer is "bad: REASON", 2 nobody answered
//
// Requests of every workload
//   report    one line of JSON; "instance" is drawn at random when the program starts, so it stays
//             the same through a restore and differs after a cold start
//   verify    "ok", or "bad: REASON": the workload has looked at all of its state
//   corrupt   damages the state on purpose; the next verify must be bad
//
// SIGTERM and SIGINT end a workload with its verdict: "verify ok" or "verify bad: REASON" on
// standard output, and exit code 0 or 1.
//
// The socket is /tmp/NAME.sock, or what WORKLOAD_SOCKET says; "@name" is an abstract one, for
// containers with a read-only root. No connection stays open between requests, so a dump finds
// none.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <thread>

namespace cryopod::workload {

inline constexpr int kAskTimeoutSeconds = 60;
inline constexpr std::size_t kLineBytesMax = 64 * 1024;

// One step of splitmix64: a cheap generator and mixer whose next value depends on all earlier ones.
inline std::uint64_t Mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

inline std::uint64_t HashBytes(const void* bytes, std::size_t size_bytes) {
  const auto* at = static_cast<const unsigned char*>(bytes);
  std::uint64_t hash = size_bytes;
  for (; size_bytes >= 8; at += 8, size_bytes -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, 8);
    hash = (hash ^ word) * 0x9fb21c651e98df25U;
    hash ^= hash >> 32;
  }
  std::uint64_t rest = 0;
  std::memcpy(&rest, at, size_bytes);
  return Mix(hash ^ rest);
}

inline std::uint64_t RandomNumber() {
  std::uint64_t value = 0;
  if (::getrandom(&value, sizeof(value), 0) != static_cast<ssize_t>(sizeof(value))) std::abort();
  return value;
}

inline std::string Hex(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(value));
  return text;
}

[[noreturn]] inline void Die(const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", what.c_str(), std::strerror(errno));
  std::_Exit(3);
}

// New memory, of zeros; `flags` say whether it is private or shared.
inline void* MapMemory(std::size_t size_bytes, int flags = MAP_PRIVATE) {
  void* memory = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) Die("mmap");
  return memory;
}

// In memory that this process will share with those that it forks.
template <typename Board>
Board& MakeShared() {
  return *new (MapMemory(sizeof(Board), MAP_SHARED)) Board;
}

// As fork does it; the child ends with this thread.
inline pid_t Fork() {
  const pid_t pid = ::fork();
  if (pid < 0) Die("fork");
  if (pid == 0) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  return pid;
}

inline sigset_t SetOf(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : signals) sigaddset(&set, number);
  return set;
}

// Waits until `holds()`; false when it did not within the limit.
template <typename Condition>
bool Soon(std::chrono::seconds limit, Condition holds) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

// How often each thing has happened, by its name.
using Counts = std::map<std::string, std::uint64_t>;

// Waits until all of them have happened again; what has not, or nothing.
inline std::string StandsStill(std::chrono::seconds limit, const std::function<Counts()>& counts) {
  const Counts before = counts();
  std::string still;
  Soon(limit, [&] {
    still.clear();
    for (const auto& [name, count] : counts()) {
      if (count == before.at(name)) still = name + " stands still";
    }
    return still.empty();
  });
  return still;
}

// A flat JSON object; names and texts here never need escaping beyond quotes and controls.
class JsonLine {
 public:
  JsonLine& Number(std::string_view name, std::uint64_t value) {
    return Raw(name, std::to_string(value));
  }
  JsonLine& Text(std::string_view name, std::string_view value) {
    std::string quoted = "\"";
    for (const char c : value) {
      const bool is_plain = static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\';
      quoted += is_plain ? c : '?';
    }
    return Raw(name, quoted + "\"");
  }
  std::string Finish() const { return "{" + text_ + "}"; }

 private:
  JsonLine& Raw(std::string_view name, const std::string& value) {
    if (!text_.empty()) text_ += ",";
    text_ += "\"" + std::string(name) + "\":" + value;
    return *this;
  }
  std::string text_;
};

// What was not as it should have been: how often, and what it was at first.
class Violations {
 public:
  void Add(const std::string& what) {
    const std::lock_guard lock(mutex_);
    if (count_++ == 0) first_ = what;
  }
  std::uint64_t count() const {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  // For verify: empty as long as there was none.
  std::string Reason() const {
    const std::lock_guard lock(mutex_);
    return count_ == 0 ? "" : std::to_string(count_) + " violations: " + first_;
  }

 private:
  mutable std::mutex mutex_;
  std::uint64_t count_ = 0;
  std::string first_;
};

struct Address {
  sockaddr_un value = {};
  socklen_t size = 0;
  bool is_abstract = false;
};

inline Address SocketAddress(const std::string& name) {
  const char* from_environment = std::getenv("WORKLOAD_SOCKET");
  std::string path = from_environment != nullptr ? from_environment : "/tmp/" + name + ".sock";
  Address address;
  address.value.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.value.sun_path)) {
    errno = ENAMETOOLONG;
    Die("WORKLOAD_SOCKET");
  }
  std::memcpy(address.value.sun_path, path.data(), path.size());
  address.is_abstract = path.front() == '@';
  if (address.is_abstract) address.value.sun_path[0] = '\0';
  // The length is part of an abstract name; a path ends with its zero.
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                        (address.is_abstract ? 0 : 1));
  return address;
}

// Reads up to the end of the line, without it; also ends at end of file, error or size.
inline std::string ReadLine(int fd) {
  std::string line;
  char c = 0;
  while (line.size() < kLineBytesMax && ::read(fd, &c, 1) == 1 && c != '\n') line += c;
  return line;
}

inline bool WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

inline void SetTimeout(int fd, int seconds) {
  const timeval limit = {.tv_sec = seconds, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

// The client: `NAME ask REQUEST`. Never returns.
[[noreturn]] inline void Ask(const std::string& name, const std::string& request) {
  const Address address = SocketAddress(name);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  SetTimeout(fd, kAskTimeoutSeconds);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address.value), address.size) != 0) {
    std::fprintf(stderr, "%s does not listen: %s\n", name.c_str(), std::strerror(errno));
    std::exit(2);
  }
  WriteAll(fd, request + "\n");
  const std::string answer = ReadLine(fd);
  if (answer.empty()) {
    std::fprintf(stderr, "%s does not answer within %d s\n", name.c_str(), kAskTimeoutSeconds);
    std::exit(2);
  }
  std::printf("%s\n", answer.c_str());
  std::exit(answer.starts_with("bad") ? 1 : 0);
}

// What a workload answers. All of it is asked by one thread, one request after another.
class Workload {
 public:
  virtual ~Workload() = default;
  virtual JsonLine Report() = 0;     // "workload", "instance" and "pid" are added
  virtual std::string Verify() = 0;  // empty when all is well, else the reason
  virtual void Corrupt() = 0;
  // Any other request; an empty answer means that there is none of that name.
  virtual std::string Other(std::string_view) { return ""; }
};

inline std::string AnswerOf(Workload& workload, const std::string& name, std::uint64_t instance,
                            std::string_view request) {
  if (request == "report") {
    return workload.Report()
        .Text("workload", name)
        .Text("instance", Hex(instance))
        .Number("pid", static_cast<std::uint64_t>(::getpid()))
        .Finish();
  }
  if (request == "verify") {
    const std::string reason = workload.Verify();
    return reason.empty() ? "ok" : "bad: " + reason;
  }
  if (request == "corrupt") {
    workload.Corrupt();
    return "corrupted";
  }
  const std::string answer = workload.Other(request);
  return answer.empty() ? "bad: no such request" : answer;
}

inline int Listen(const std::string& name) {
  const Address address = SocketAddress(name);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (!address.is_abstract) ::unlink(address.value.sun_path);
  // An exec into the container may ask as another user.
  const mode_t old_mask = ::umask(0);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address.value), address.size) != 0) Die("bind");
  ::umask(old_mask);
  if (::listen(fd, 16) != 0) Die("listen");
  return fd;
}

// Written to by the handler of SIGTERM and SIGINT; none as long as nobody serves.
inline std::atomic<int> end_event = -1;

inline void OnEndSignal(int) {
  const int saved_errno = errno;
  const std::uint64_t one = 1;
  const int fd = end_event;
  // Not set up yet, or a process of a workload that only answers the first one: nothing to say.
  if (fd < 0 || ::write(fd, &one, sizeof(one)) < 0) std::_Exit(0);
  errno = saved_errno;
}

[[noreturn]] inline void EndWithVerdict(Workload& workload) {
  const std::string reason = workload.Verify();
  // A pipe that nobody empties must not keep the workload from ending.
  pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
  if (::poll(&output, 1, 1000) == 1) {
    WriteAll(STDOUT_FILENO, reason.empty() ? "verify ok\n" : "verify bad: " + reason + "\n");
  }
  std::_Exit(reason.empty() ? 0 : 1);
}

// Serves requests until a signal ends the workload. Call it when the workload is set up; then it is
// also ready for others.
[[noreturn]] inline void Serve(const std::string& name, Workload& workload) {
  const std::uint64_t instance = RandomNumber();
  const int listener = Listen(name);
  const int end = ::eventfd(0, EFD_CLOEXEC);
  if (end < 0) Die("eventfd");
  end_event = end;
  for (;;) {
    pollfd ready[2] = {{.fd = listener, .events = POLLIN, .revents = 0},
                       {.fd = end, .events = POLLIN, .revents = 0}};
    if (::poll(ready, 2, -1) < 0) continue;
    if (ready[1].revents != 0) EndWithVerdict(workload);
    const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    SetTimeout(client, 5);
    const std::string request = ReadLine(client);
    WriteAll(client, AnswerOf(workload, name, instance, request) + "\n");
    ::close(client);
  }
}

// To be called first in main: serves `ask`, and makes the program end like any other when it is the
// first process of its PID namespace, where signals without a handler do nothing.
inline void Begin(const std::string& name, int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "ask") Ask(name, argv[2]);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGTERM, OnEndSignal);
  std::signal(SIGINT, OnEndSignal);
}

// A positive number among the arguments, or the end with a word of help.
inline std::uint64_t NumberArgument(int argc, char** argv, int index, const char* usage) {
  char* end = nullptr;
  const unsigned long long value = index < argc ? std::strtoull(argv[index], &end, 10) : 0;
  if (value == 0 || end == nullptr || *end != '\0') {
    std::fprintf(stderr, "usage: %s\n", usage);
    std::exit(3);
  }
  return value;
}

}  // namespace cryopod::workload
