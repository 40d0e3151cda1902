// Children and signals: what the application sees is exactly what happened.
//
//   children
//
// Two threads fork without a pause. Child n writes n into a pipe and ends with an exit code that
// follows from n; its parent must read n and then the end, see this code and no other, hear of none
// that it was stopped or continued, and get no SIGCHLD but for children of its own that have
// exited. Some are zombies for a while.
//
// One child stays and sends signals: SIGUSR1 to a handler, SIGUSR2 while it is blocked, and queued
// signals with the values 1, 2, 3 … to the process and to one thread of it, so that always some of
// them are pending. Each must be seen once, in order, with its value and its sender. Any signal
// that nobody has sent counts as a violation.
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>

#include "tests/workloads/workload.h"

namespace cryopod::workload {
namespace {

// Codes below 128: CRIU 4.2 keeps seven bits of the code of a child that nobody has waited for yet
// (exit in restore_one_zombie), which no change to its images can help.
constexpr std::uint64_t kExitCodes = 127;
constexpr std::uint64_t kChildLifeUsMax = 40'000;
constexpr std::uint64_t kZombieUsMax = 20'000;
constexpr std::uint64_t kQueuedMax = 48;
constexpr auto kSignalPause = std::chrono::milliseconds(10);
constexpr auto kReceivePause = std::chrono::milliseconds(20);
constexpr auto kProgressTimeout = std::chrono::seconds(5);

// A kind of signal from the sender: how many were sent, and how many seen. The sender counts before
// it sends, so what was seen is never more.
struct Stream {
  std::atomic<std::uint64_t> sent = 0;
  std::atomic<std::uint64_t> seen = 0;
};

enum StreamIndex : std::size_t { kHandled, kBlocked, kQueued, kQueuedToThread, kStreams };
constexpr std::array<const char*, kStreams> kStreamNames = {
    "SIGUSR1", "SIGUSR2", "the queued signal", "the queued signal of a thread"};

// In memory that the sender shares.
struct Board {
  std::array<Stream, kStreams> streams;
  std::atomic<pid_t> receiver = 0;  // the process
  std::atomic<pid_t> receiving_thread = 0;
};

Board* board = nullptr;  // a handler can be given nothing
pid_t sender = 0;
std::atomic<std::uint64_t> unexpected = 0;
std::atomic<int> first_unexpected = 0;
std::atomic<int> first_unexpected_code = 0;

int SignalOf(StreamIndex stream) {
  switch (stream) {
    case kHandled:
      return SIGUSR1;
    case kBlocked:
      return SIGUSR2;
    case kQueued:
      return SIGRTMIN + 3;
    default:
      return SIGRTMIN + 4;
  }
}

void CountUnexpected(const siginfo_t& info) {
  if (unexpected++ != 0) return;
  first_unexpected = info.si_signo;
  first_unexpected_code = info.si_code;
}

void OnUnexpected(int, siginfo_t* info, void*) { CountUnexpected(*info); }

void OnUserSignal(int number, siginfo_t* info, void*) {
  Stream& stream = board->streams[number == SIGUSR1 ? kHandled : kBlocked];
  const bool is_from_sender = info->si_code == SI_USER && info->si_pid == sender;
  if (!is_from_sender || ++stream.seen > stream.sent) CountUnexpected(*info);
}

void Handle(int number, void (*handler)(int, siginfo_t*, void*)) {
  struct sigaction action {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigfillset(&action.sa_mask);
  ::sigaction(number, &action, nullptr);
}

// All but those that end a workload, mean a fault of the program, or cannot be handled.
void HandleSignals() {
  for (const int number : {SIGHUP, SIGQUIT, SIGALRM, SIGVTALRM, SIGPROF, SIGTSTP, SIGTTIN, SIGTTOU,
                           SIGURG, SIGXCPU, SIGXFSZ, SIGWINCH, SIGIO, SIGPWR, SIGCHLD, SIGCONT}) {
    Handle(number, OnUnexpected);
  }
  for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) Handle(number, OnUnexpected);
  Handle(SIGUSR1, OnUserSignal);
  Handle(SIGUSR2, OnUserSignal);
}

// The child that sends. It counts first: a signal may be seen before the call returns.
class Sender {
 public:
  [[noreturn]] void SendForEver() {
    for (;;) {
      for (const StreamIndex stream : {kHandled, kBlocked}) {
        // One at a time: a second one would be one with the first while that is pending.
        Stream& it = board->streams[stream];
        if (it.seen == it.sent) Send(stream, ++it.sent);
      }
      for (const StreamIndex stream : {kQueued, kQueuedToThread}) {
        Stream& it = board->streams[stream];
        while (it.sent - it.seen < kQueuedMax) Send(stream, ++it.sent);
      }
      std::this_thread::sleep_for(kSignalPause);
    }
  }

 private:
  // Dies when the kernel takes no more of them: a signal that was not sent must not count as lost.
  static void Send(StreamIndex stream, std::uint64_t value) {
    siginfo_t info = {};
    info.si_code = SI_QUEUE;
    info.si_pid = ::getpid();
    info.si_uid = ::getuid();
    info.si_value.sival_ptr = reinterpret_cast<void*>(value);
    const int number = SignalOf(stream);
    const pid_t receiver = board->receiver;
    long result = 0;
    if (stream == kQueuedToThread) {
      const pid_t thread = board->receiving_thread;
      result = ::syscall(SYS_rt_tgsigqueueinfo, receiver, thread, number, &info);
    } else if (stream == kQueued) {
      result = ::syscall(SYS_rt_sigqueueinfo, receiver, number, &info);
    } else {
      result = ::kill(receiver, number);
    }
    if (result != 0) Die("sending a signal");
  }
};

class Children final : public Workload {
 public:
  void Start() {
    for (int i = 0; i < 2; ++i) std::thread([this] { ForkForEver(); }).detach();
    std::thread([this] { TakeChildSignals(); }).detach();
    std::thread([this] { TakeQueuedSignals(); }).detach();
    std::thread([] { HandleUserSignals(); }).detach();
  }

  JsonLine Report() override {
    return JsonLine()
        .Number("reaped", reaped_)
        .Number("child_signals", child_signals_)
        .Number("unexpected", unexpected)
        .Number("violations", violations_.count());
  }

  std::string Verify() override {
    const std::string reason = StandsStill(kProgressTimeout, [this] { return CountsNow(); });
    if (unexpected != 0) {
      return std::to_string(unexpected) + " unexpected signals, the first is " +
             std::to_string(first_unexpected) + " with code " +
             std::to_string(first_unexpected_code);
    }
    const std::string violation = violations_.Reason();
    return violation.empty() ? reason : violation;
  }

  // As if a queued signal had been lost.
  void Corrupt() override { ++lost_; }

 private:
  Counts CountsNow() const {
    Counts counts = {{"the reaping of children", reaped_}};
    for (std::size_t i = 0; i < kStreams; ++i) counts[kStreamNames[i]] = board->streams[i].seen;
    return counts;
  }

  // The new one handles no signal as its parent does.
  pid_t ForkChild() {
    const std::lock_guard lock(mutex_);
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const pid_t pid = ::fork();
    if (pid == 0) {
      for (const int number : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) std::signal(number, SIG_DFL);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0) Die("fork");
    if (pid != 0) ++signals_due_[pid];
    return pid;
  }

  [[noreturn]] static void LiveAndExit(std::uint64_t number, int pipe) {
    const bool is_written = ::write(pipe, &number, sizeof(number)) == sizeof(number);
    const timespec life = {.tv_sec = 0,
                           .tv_nsec = static_cast<long>(Mix(number) % kChildLifeUsMax * 1000)};
    ::nanosleep(&life, nullptr);
    ::_exit(is_written ? static_cast<int>(number % kExitCodes) : 255);
  }

  [[noreturn]] void ForkForEver() {
    for (;;) {
      const std::uint64_t number = ++forked_;
      int pipe[2];
      if (::pipe2(pipe, O_CLOEXEC) != 0) Die("pipe2");
      const pid_t pid = ForkChild();
      if (pid == 0) LiveAndExit(number, pipe[1]);
      ::close(pipe[1]);
      ReadToEnd(number, pipe[0]);
      ::close(pipe[0]);
      std::this_thread::sleep_for(std::chrono::microseconds(Mix(~number) % kZombieUsMax));
      Reap(number, pid);
    }
  }

  void ReadToEnd(std::uint64_t number, int pipe) {
    std::uint64_t said[2] = {};
    std::size_t size = 0;
    for (;;) {
      char* at = reinterpret_cast<char*>(said) + size;
      const ssize_t got = ::read(pipe, at, sizeof(said) - size);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      size += static_cast<std::size_t>(got);
    }
    if (size == sizeof(number) && said[0] == number) return;
    violations_.Add("child " + std::to_string(number) + " said " + std::to_string(size) +
                    " bytes, " + std::to_string(said[0]));
  }

  void Reap(std::uint64_t number, pid_t pid) {
    int status = 0;
    pid_t reaped = -1;
    do {
      reaped = ::waitpid(pid, &status, WUNTRACED | WCONTINUED);
    } while (reaped < 0 && errno == EINTR);
    ++reaped_;
    if (reaped == pid && WIFEXITED(status) &&
        WEXITSTATUS(status) == static_cast<int>(number % kExitCodes)) {
      return;
    }
    violations_.Add("child " + std::to_string(number) + " ended with status " +
                    std::to_string(status) + ", waitpid said " + std::to_string(reaped));
  }

  // Several may have become one; but none comes for a child that has not exited.
  [[noreturn]] void TakeChildSignals() {
    const sigset_t set = SetOf({SIGCHLD});
    for (;;) {
      siginfo_t info = {};
      if (::sigwaitinfo(&set, &info) < 0) continue;
      ++child_signals_;
      const std::lock_guard lock(mutex_);
      const auto due = signals_due_.find(info.si_pid);
      if (info.si_code != CLD_EXITED || due == signals_due_.end()) {
        violations_.Add("SIGCHLD with code " + std::to_string(info.si_code) + " of process " +
                        std::to_string(info.si_pid));
      } else if (--due->second == 0) {
        signals_due_.erase(due);
      }
    }
  }

  // Slowly, so that they queue.
  [[noreturn]] void TakeQueuedSignals() {
    // In turns: a thread's own signals come first, and there is always one of them.
    const std::array<sigset_t, 2> sets = {SetOf({SignalOf(kQueued)}),
                                          SetOf({SignalOf(kQueuedToThread)})};
    std::array<std::uint64_t, kStreams> last = {};
    board->receiving_thread = static_cast<pid_t>(::syscall(SYS_gettid));
    board->receiver = ::getpid();
    for (std::uint64_t chance = RandomNumber();;) {
      std::this_thread::sleep_for(kReceivePause);
      chance = Mix(chance);
      for (std::uint64_t i = chance % (2 * kQueuedMax); i-- > 0;) {
        siginfo_t info = {};
        if (::sigwaitinfo(&sets[i % 2], &info) < 0) continue;
        const StreamIndex stream = info.si_signo == SignalOf(kQueued) ? kQueued : kQueuedToThread;
        const auto value = reinterpret_cast<std::uint64_t>(info.si_value.sival_ptr);
        last[stream] += 1 + lost_.exchange(0);
        if (info.si_code != SI_QUEUE || info.si_pid != sender || value != last[stream]) {
          violations_.Add(std::string(kStreamNames[stream]) + " has value " +
                          std::to_string(value) + " and not " + std::to_string(last[stream]) +
                          ", and comes from process " + std::to_string(info.si_pid));
        }
        ++board->streams[stream].seen;
      }
    }
  }

  // The only thread that SIGUSR1 may interrupt at any time, and SIGUSR2 when it says so.
  [[noreturn]] static void HandleUserSignals() {
    const sigset_t handled = SetOf({SIGUSR1});
    pthread_sigmask(SIG_UNBLOCK, &handled, nullptr);
    sigset_t while_waiting;
    pthread_sigmask(SIG_SETMASK, nullptr, &while_waiting);
    sigdelset(&while_waiting, SIGUSR2);
    for (;;) {
      std::this_thread::sleep_for(kReceivePause);
      ::sigsuspend(&while_waiting);
    }
  }

  std::atomic<std::uint64_t> forked_ = 0;
  std::atomic<std::uint64_t> reaped_ = 0;
  std::atomic<std::uint64_t> child_signals_ = 0;
  std::atomic<std::uint64_t> lost_ = 0;
  Violations violations_;
  std::mutex mutex_;
  std::map<pid_t, std::uint64_t> signals_due_;
};

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("children", argc, argv);
  board = &MakeShared<Board>();
  sender = Fork();
  if (sender == 0) {
    while (board->receiver == 0) std::this_thread::sleep_for(kSignalPause);
    Sender().SendForEver();
  }
  // Before any thread: all of them inherit it, and each lets through what is meant for it.
  const sigset_t blocked =
      SetOf({SIGUSR1, SIGUSR2, SIGCHLD, SignalOf(kQueued), SignalOf(kQueuedToThread)});
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  HandleSignals();
  static Children children;
  children.Start();
  Serve("children", children);
}
