// A tree of processes, each with several threads, each thread with state of its own in memory.
//
//   process_tree PROCESSES THREADS
//
// Process k is the parent of 2k+1 and 2k+2. Every thread counts along a hash chain and remembers
// its thread number; every process remembers its own and its parent's process number. The first
// process asks the others over socket pairs that were made before they were born; whoever does not
// answer within 5 s does not live. Odd processes lead a process group of their own.
#include <sys/syscall.h>

#include <vector>

#include "tests/workloads/workload.h"

namespace cryopod::workload {
namespace {

constexpr auto kStepInterval = std::chrono::milliseconds(20);
constexpr auto kStepTimeout = std::chrono::seconds(2);
constexpr int kAnswerTimeoutMs = 5000;

pid_t ThreadNumber() { return static_cast<pid_t>(::syscall(SYS_gettid)); }

// What one thread knows. Only its thread writes; the lock lets others read a whole state.
struct ThreadState {
  std::mutex mutex;
  pid_t expected_number = 0;
  pid_t number = 0;
  std::uint64_t seed = 0;
  std::uint64_t steps = 0;
  std::uint64_t chain = 0;
};

[[noreturn]] void StepForEver(ThreadState& state) {
  thread_local std::uint64_t own_chain = 0;  // in thread-local storage: it hangs on the FS register
  {
    const std::lock_guard lock(state.mutex);
    state.expected_number = state.number = ThreadNumber();
    state.seed = state.chain = own_chain = RandomNumber();
  }
  for (;;) {
    std::this_thread::sleep_for(kStepInterval);
    const std::lock_guard lock(state.mutex);
    own_chain = Mix(own_chain);
    state.chain = own_chain;
    state.number = ThreadNumber();
    ++state.steps;
  }
}

std::string VerifyThread(ThreadState& state) {
  std::uint64_t before = 0;
  {
    const std::lock_guard lock(state.mutex);
    before = state.steps;
    std::uint64_t chain = state.seed;
    for (std::uint64_t i = 0; i < state.steps; ++i) chain = Mix(chain);
    if (chain != state.chain) return "is off its chain";
    if (state.number != state.expected_number) return "has another number than at its start";
  }
  const bool runs = Soon(kStepTimeout, [&] {
    const std::lock_guard lock(state.mutex);
    return state.steps > before;
  });
  return runs ? "" : "does not run";
}

// One process of the tree: its threads and what it remembers of itself.
class Process {
 public:
  Process(std::size_t index, std::size_t thread_count)
      : index_(index), pid_(::getpid()), parent_(::getppid()), threads_(thread_count) {
    // The first process's parent is outside of its PID namespace or even of its container.
    if (index_ == 0) parent_ = 0;
    for (ThreadState& state : threads_) std::thread([&state] { StepForEver(state); }).detach();
  }

  std::string Verify() {
    if (::getpid() != pid_) return "has another number than at its start";
    if (parent_ != 0 && ::getppid() != parent_) return "has another parent than at its start";
    for (std::size_t i = 0; i < threads_.size(); ++i) {
      const std::string reason = VerifyThread(threads_[i]);
      if (!reason.empty()) return "thread " + std::to_string(i) + " " + reason;
    }
    return "";
  }

  std::uint64_t Steps() {
    std::uint64_t steps = 0;
    for (ThreadState& state : threads_) {
      const std::lock_guard lock(state.mutex);
      steps += state.steps;
    }
    return steps;
  }

  void Corrupt() {
    const std::lock_guard lock(threads_.back().mutex);
    ++threads_.back().steps;
  }

 private:
  std::size_t index_;
  pid_t pid_;
  pid_t parent_;
  std::vector<ThreadState> threads_;
};

struct SocketPair {
  int asking = -1;
  int answering = -1;
};

// Answers the first process until that one is gone.
[[noreturn]] void AnswerForEver(Process& process, int socket) {
  char request[64];
  for (;;) {
    const ssize_t size = ::recv(socket, request, sizeof(request), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) std::_Exit(0);
    const std::string_view text(request, static_cast<std::size_t>(size));
    std::string answer = "done";
    if (text == "corrupt") process.Corrupt();
    if (text == "steps") answer = std::to_string(process.Steps());
    if (text == "verify") answer = process.Verify();
    if (answer.empty()) answer = "ok";
    ::send(socket, answer.data(), answer.size(), MSG_NOSIGNAL);
  }
}

// Forks the subtree under process `index`; in every process it returns that process's index.
std::size_t Grow(std::size_t index, std::size_t process_count) {
  for (std::size_t child = 2 * index + 1; child <= 2 * index + 2; ++child) {
    if (child >= process_count) break;
    const pid_t pid = ::fork();
    if (pid < 0) Die("fork");
    if (pid == 0) {
      if (child % 2 == 1) ::setpgid(0, 0);
      return Grow(child, process_count);
    }
  }
  return index;
}

class Tree final : public Workload {
 public:
  Tree(std::vector<SocketPair> sockets, Process& root)
      : sockets_(std::move(sockets)), root_(root) {}

  std::string Verify() override {
    const std::string reason = root_.Verify();
    if (!reason.empty()) return "process 0 " + reason;
    for (std::size_t i = 1; i < sockets_.size(); ++i) {
      const std::string answer = AskProcess(i, "verify");
      if (answer != "ok") return "process " + std::to_string(i) + " " + answer;
    }
    return "";
  }

  JsonLine Report() override {
    std::uint64_t living = 1;
    std::uint64_t steps = root_.Steps();
    for (std::size_t i = 1; i < sockets_.size(); ++i) {
      const std::string answer = AskProcess(i, "steps");
      if (answer.empty() || answer.front() < '0' || answer.front() > '9') continue;
      ++living;
      steps += std::stoull(answer);
    }
    return JsonLine()
        .Number("processes", sockets_.size())
        .Number("living", living)
        .Number("steps", steps);
  }

  void Corrupt() override {
    if (sockets_.size() == 1) return root_.Corrupt();
    AskProcess(sockets_.size() - 1, "corrupt");
  }

 private:
  std::string AskProcess(std::size_t index, std::string_view request) {
    const int socket = sockets_[index].asking;
    if (::send(socket, request.data(), request.size(), MSG_NOSIGNAL) < 0) return "does not live";
    pollfd ready = {.fd = socket, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, kAnswerTimeoutMs) != 1) return "does not answer";
    char answer[256];
    const ssize_t size = ::recv(socket, answer, sizeof(answer), 0);
    if (size <= 0) return "does not live";
    return std::string(answer, static_cast<std::size_t>(size));
  }

  std::vector<SocketPair> sockets_;
  Process& root_;
};

std::vector<SocketPair> MakeSockets(std::size_t count) {
  std::vector<SocketPair> sockets(count);
  for (SocketPair& pair : sockets) {
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) != 0) Die("socketpair");
    pair = {.asking = fds[0], .answering = fds[1]};
  }
  return sockets;
}

// A process keeps what it needs alone: so the end of the first one is seen by all others.
void CloseOthers(const std::vector<SocketPair>& sockets, std::size_t index) {
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    if (index != 0) ::close(sockets[i].asking);
    if (i != index) ::close(sockets[i].answering);
  }
}

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("process_tree", argc, argv);
  constexpr const char* kUsage = "process_tree PROCESSES THREADS";
  const std::size_t process_count = NumberArgument(argc, argv, 1, kUsage);
  const std::size_t thread_count = NumberArgument(argc, argv, 2, kUsage);
  std::vector<SocketPair> sockets = MakeSockets(process_count);
  const std::size_t index = Grow(0, process_count);
  CloseOthers(sockets, index);
  static Process process(index, thread_count);
  if (index != 0) AnswerForEver(process, sockets[index].answering);
  static Tree tree(std::move(sockets), process);
  Serve("process_tree", tree);
}
