// Threads, timers and clocks that keep their promises, whatever happens to the process between.
//
//   clocks
//
// What is watched all the time
//   CLOCK_MONOTONIC and CLOCK_BOOTTIME never go back
//   a wait with a limit (sleep, poll, condition variable) never ends before its time
//   a timer expires as often as its period allows, by the time in which the process ran at least,
//   and by the clock at most: timerfd, POSIX timer, setitimer; a single shot comes once, not early
//   two pairs of threads take turns: over a condition variable with a mutex that holds the thread's
//   number (priority inheritance), and over a bare futex
// A time in which nothing ran (a freeze, or between checkpoint and restore) may hold expirations or
// not. CPU clocks are no promise: a restored process is a new one to the kernel.
#include <pthread.h>
#include <sys/timerfd.h>
#include <time.h>

#include <array>

#include "tests/workloads/workload.h"

namespace cryopod::workload {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kTickNs = 4 * kMs;
constexpr auto kTurn = std::chrono::milliseconds(10);
constexpr std::int64_t kGapNs = 20 * kMs;
constexpr std::int64_t kPeriodNs = 20 * kMs;
constexpr auto kProgressTimeout = std::chrono::seconds(5);

std::int64_t Now(clockid_t clock) {
  timespec now = {};
  ::clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

timespec Timespec(std::int64_t ns) {
  return {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
}

// A timer with a period: how often it has expired, and how often it may and must have.
class Periodic {
 public:
  explicit Periodic(const char* name) : name_(name) {}

  void Begin() { start_ns_ = Now(CLOCK_MONOTONIC); }

  void Expired(std::uint64_t times, Violations& violations) {
    const std::uint64_t expired = times_ += times;
    const std::int64_t elapsed_ns = Now(CLOCK_MONOTONIC) - start_ns_;
    if (expired * kPeriodNs > static_cast<std::uint64_t>(elapsed_ns + kPeriodNs)) {
      violations.Add(std::string(name_) + " has expired " + std::to_string(expired) + " times in " +
                     std::to_string(elapsed_ns / kMs) + " ms");
    }
  }

  // Each gap may cut off a part of a period.
  bool MissesSome(std::int64_t gaps_ns, std::uint64_t gaps) const {
    const std::int64_t ran_ns = Now(CLOCK_MONOTONIC) - start_ns_ - gaps_ns;
    return static_cast<std::int64_t>(times_ + gaps + 2) < ran_ns / kPeriodNs;
  }

  const char* name() const { return name_; }
  std::uint64_t times() const { return times_; }

 private:
  const char* name_;
  std::int64_t start_ns_ = 0;
  std::atomic<std::uint64_t> times_ = 0;
};

class Clocks final : public Workload {
 public:
  void Start() {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&turn_mutex_, &attributes);
    BlockSignals();
    Run(&Clocks::WatchClocks);
    Run(&Clocks::WaitForEver);
    Run(&Clocks::ReadTimerfd);
    Run(&Clocks::TakePosixTimer);
    Run(&Clocks::TakeAlarm);
    Run(&Clocks::ReadSingleShots);
    for (const std::uint64_t side : {0U, 1U}) {
      std::thread([this, side] { TakeTurns(side); }).detach();
      std::thread([this, side] { PassBaton(static_cast<std::uint32_t>(side)); }).detach();
    }
  }

  JsonLine Report() override {
    return JsonLine()
        .Number("ticks", ticks_)
        .Number("gaps", gaps_)
        .Number("gaps_us", static_cast<std::uint64_t>(gaps_ns_ / 1000))
        .Number("violations", violations_.count());
  }

  std::string Verify() override {
    std::string reason = StandsStill(kProgressTimeout, [this] { return CountsNow(); });
    Soon(kProgressTimeout, [&] { return !reason.empty() || TimerThatMissesSome().empty(); });
    if (reason.empty()) reason = TimerThatMissesSome();
    const std::string violation = violations_.Reason();
    return violation.empty() ? reason : violation;
  }

  void Corrupt() override {
    pthread_mutex_lock(&turn_mutex_);
    ++turns_of_[0];
    pthread_mutex_unlock(&turn_mutex_);
  }

 private:
  void Run(void (Clocks::*loop)()) {
    std::thread([this, loop] { (this->*loop)(); }).detach();
  }

  // Before any thread; those that want one of them wait for it.
  static void BlockSignals() {
    const sigset_t set = SetOf({SIGALRM, SIGRTMIN + 1});
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
  }

  Counts CountsNow() const {
    return {{"the tick", ticks_},
            {"a wait", waits_},
            {"timerfd", timerfd_.times()},
            {"POSIX timer", posix_timer_.times()},
            {"alarm", alarms_},
            {"single shot", single_shots_},
            {"the turns", turns_},
            {"the baton", baton_}};
  }

  std::string TimerThatMissesSome() const {
    for (const Periodic* timer : {&timerfd_, &posix_timer_}) {
      if (timer->MissesSome(gaps_ns_, gaps_))
        return std::string(timer->name()) + " misses expirations";
    }
    return "";
  }

  void WatchClocks() {
    std::int64_t last = Now(CLOCK_MONOTONIC);
    std::int64_t last_boot = Now(CLOCK_BOOTTIME);
    for (;; ++ticks_) {
      ::clock_nanosleep(CLOCK_MONOTONIC, 0, &kTick, nullptr);
      const std::int64_t now = Now(CLOCK_MONOTONIC);
      const std::int64_t now_boot = Now(CLOCK_BOOTTIME);
      if (now < last) violations_.Add("CLOCK_MONOTONIC went back by " + std::to_string(last - now));
      if (now_boot < last_boot) {
        violations_.Add("CLOCK_BOOTTIME went back by " + std::to_string(last_boot - now_boot));
      }
      if (now - last > kGapNs) {
        gaps_ns_ += now - last;
        ++gaps_;
      }
      last = now;
      last_boot = now_boot;
    }
  }

  // `result` is that of the wait; one that was interrupted has no time to keep.
  void Waited(const char* what, std::int64_t end_ns, bool is_interrupted) {
    ++waits_;
    if (is_interrupted) return;
    const std::int64_t early_ns = end_ns - Now(CLOCK_MONOTONIC);
    if (early_ns > 0) {
      violations_.Add(std::string(what) + " ended " + std::to_string(early_ns) + " ns too early");
    }
  }

  void WaitForEver() {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&never, &attributes);
    pthread_mutex_lock(&mutex);
    for (std::int64_t ms = 1;; ms = ms % 17 + 1) {
      const timespec relative = Timespec(ms * kMs);
      std::int64_t end_ns = Now(CLOCK_MONOTONIC) + ms * kMs;
      Waited("nanosleep", end_ns, ::nanosleep(&relative, nullptr) != 0);
      end_ns = Now(CLOCK_MONOTONIC) + ms * kMs;
      timespec absolute = Timespec(end_ns);
      Waited("clock_nanosleep", end_ns,
             ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &absolute, nullptr) != 0);
      end_ns = Now(CLOCK_MONOTONIC) + ms * kMs;
      Waited("poll", end_ns, ::poll(nullptr, 0, static_cast<int>(ms)) != 0);
      end_ns = Now(CLOCK_MONOTONIC) + ms * kMs;
      absolute = Timespec(end_ns);
      Waited("condition variable", end_ns,
             pthread_cond_timedwait(&never, &mutex, &absolute) != ETIMEDOUT);
    }
  }

  void ReadTimerfd() {
    const int fd = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    timerfd_.Begin();
    const itimerspec period = {.it_interval = Timespec(kPeriodNs), .it_value = Timespec(kPeriodNs)};
    if (fd < 0 || ::timerfd_settime(fd, 0, &period, nullptr) != 0) Die("timerfd");
    for (;;) {
      std::uint64_t times = 0;
      if (::read(fd, &times, sizeof(times)) == sizeof(times)) timerfd_.Expired(times, violations_);
    }
  }

  void TakePosixTimer() {
    const sigset_t set = SetOf({SIGRTMIN + 1});
    sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGRTMIN + 1;
    event.sigev_value.sival_int = kTimerValue;
    timer_t timer = {};
    posix_timer_.Begin();
    const itimerspec period = {.it_interval = Timespec(kPeriodNs), .it_value = Timespec(kPeriodNs)};
    if (::timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
        ::timer_settime(timer, 0, &period, nullptr) != 0) {
      Die("timer_create");
    }
    for (;;) {
      siginfo_t info = {};
      if (::sigwaitinfo(&set, &info) < 0) continue;
      if (info.si_code != SI_TIMER || info.si_value.sival_int != kTimerValue) {
        violations_.Add("a signal of the POSIX timer is not from it");
      }
      posix_timer_.Expired(static_cast<std::uint64_t>(info.si_overrun) + 1, violations_);
    }
  }

  // Expirations that nobody has taken in time become one signal, so only the most is known.
  void TakeAlarm() {
    const sigset_t set = SetOf({SIGALRM});
    Periodic alarm("setitimer");
    alarm.Begin();
    const timeval period = {.tv_sec = 0, .tv_usec = kPeriodNs / 1000};
    const itimerval timer = {.it_interval = period, .it_value = period};
    if (::setitimer(ITIMER_REAL, &timer, nullptr) != 0) Die("setitimer");
    for (;;) {
      if (::sigwaitinfo(&set, nullptr) != SIGALRM) continue;
      alarm.Expired(1, violations_);
      ++alarms_;
    }
  }

  void ReadSingleShots() {
    const int fd = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (fd < 0) Die("timerfd");
    for (std::int64_t ms = 1;; ms = ms % 31 + 1) {
      const std::int64_t end_ns = Now(CLOCK_MONOTONIC) + ms * kMs;
      const itimerspec once = {.it_interval = {}, .it_value = Timespec(end_ns)};
      if (::timerfd_settime(fd, TFD_TIMER_ABSTIME, &once, nullptr) != 0) Die("timerfd_settime");
      std::uint64_t times = 0;
      while (::read(fd, &times, sizeof(times)) != sizeof(times)) continue;
      if (times != 1) violations_.Add("a single shot came " + std::to_string(times) + " times");
      if (Now(CLOCK_MONOTONIC) < end_ns) violations_.Add("a single shot came too early");
      ++single_shots_;
    }
  }

  // Side 0 begins; so it has had as many turns as the other before each of its own.
  [[noreturn]] void TakeTurns(std::uint64_t side) {
    for (;;) {
      pthread_mutex_lock(&turn_mutex_);
      while (turns_ % 2 != side) pthread_cond_wait(&turn_changed_, &turn_mutex_);
      if (turns_of_[0] != turns_of_[1] + side || turns_of_[0] + turns_of_[1] != turns_) {
        violations_.Add("one side has had " + std::to_string(turns_of_[0]) + " turns, the other " +
                        std::to_string(turns_of_[1]));
      }
      ++turns_of_[side];
      ++turns_;
      pthread_cond_broadcast(&turn_changed_);
      pthread_mutex_unlock(&turn_mutex_);
      std::this_thread::sleep_for(kTurn);
    }
  }

  [[noreturn]] void PassBaton(std::uint32_t side) {
    for (std::uint32_t expected = side;; expected += 2) {
      for (std::uint32_t seen = baton_; seen + 1 == expected; seen = baton_) baton_.wait(seen);
      if (baton_ != expected) violations_.Add("the baton was passed on without its turn");
      baton_ = expected + 1;
      baton_.notify_all();
      std::this_thread::sleep_for(kTurn);
    }
  }

  static constexpr timespec kTick = {.tv_sec = 0, .tv_nsec = kTickNs};
  static constexpr int kTimerValue = 4711;
  Violations violations_;
  std::atomic<std::uint64_t> ticks_ = 0;
  std::atomic<std::uint64_t> waits_ = 0;
  std::atomic<std::uint64_t> gaps_ = 0;
  std::atomic<std::int64_t> gaps_ns_ = 0;
  Periodic timerfd_{"timerfd"};
  Periodic posix_timer_{"POSIX timer"};
  std::atomic<std::uint64_t> alarms_ = 0;
  std::atomic<std::uint64_t> single_shots_ = 0;
  pthread_mutex_t turn_mutex_ = {};
  pthread_cond_t turn_changed_ = PTHREAD_COND_INITIALIZER;
  std::array<std::uint64_t, 2> turns_of_ = {};
  std::atomic<std::uint64_t> turns_ = 0;
  std::atomic<std::uint32_t> baton_ = 0;
};

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("clocks", argc, argv);
  static Clocks clocks;
  clocks.Start();
  Serve("clocks", clocks);
}
