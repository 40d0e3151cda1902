// Counts in memory every 10 ms and writes its counter to standard output every 100 ms.
//
//   counter
//
// Besides the counter it keeps a hash chain of one link per count: verify walks the chain anew, so
// a counter that lost or repeated counts, or came from another instance, does not pass. Requests:
// reset (forgets the largest gap).
#include "tests/workloads/workload.h"

namespace cryopod::workload {
namespace {

constexpr auto kCountInterval = std::chrono::milliseconds(10);
constexpr int kCountsPerLine = 10;

struct Count {
  std::uint64_t seed = RandomNumber();
  std::uint64_t counter = 0;
  std::uint64_t chain = seed;
};

class Counter final : public Workload {
 public:
  void Start() {
    std::thread([this] { WatchForGaps(); }).detach();
    std::thread([this] { CountForEver(); }).detach();
    std::thread([this] { PrintForEver(); }).detach();
  }

  JsonLine Report() override {
    const Count count = Read();
    return JsonLine()
        .Number("counter", count.counter)
        .Text("chain", Hex(count.chain))
        .Number("largest_gap_us", largest_gap_us_)
        .Number("ticks", ticks_);
  }

  std::string Verify() override {
    const Count count = Read();
    std::uint64_t chain = count.seed;
    for (std::uint64_t i = 0; i < count.counter; ++i) chain = Mix(chain);
    if (chain != count.chain)
      return "counter " + std::to_string(count.counter) + " is off its chain";
    return "";
  }

  void Corrupt() override {
    const std::lock_guard lock(mutex_);
    ++count_.counter;
  }

  std::string Other(std::string_view request) override {
    if (request != "reset") return "";
    largest_gap_us_ = 0;
    return "reset";
  }

 private:
  Count Read() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

  // Keeps the largest gap between ticks of 1 ms: what a freeze looks like to the application.
  [[noreturn]] void WatchForGaps() {
    auto last = std::chrono::steady_clock::now();
    for (;; ++ticks_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      const auto now = std::chrono::steady_clock::now();
      const auto gap_us = std::chrono::duration_cast<std::chrono::microseconds>(now - last).count();
      last = now;
      largest_gap_us_ =
          std::max<std::uint64_t>(largest_gap_us_, static_cast<std::uint64_t>(gap_us));
    }
  }

  [[noreturn]] void CountForEver() {
    for (;;) {
      std::this_thread::sleep_for(kCountInterval);
      const std::lock_guard lock(mutex_);
      ++count_.counter;
      count_.chain = Mix(count_.chain);
    }
  }

  // A thread of its own: a reader of the pipe that is gone or slow must not stop the counting.
  [[noreturn]] void PrintForEver() {
    for (;;) {
      std::this_thread::sleep_for(kCountInterval * kCountsPerLine);
      WriteAll(STDOUT_FILENO, "counter " + std::to_string(Read().counter) + "\n");
    }
  }

  std::mutex mutex_;
  Count count_;
  std::atomic<std::uint64_t> largest_gap_us_ = 0;
  std::atomic<std::uint64_t> ticks_ = 0;
};

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("counter", argc, argv);
  static Counter counter;
  counter.Start();
  Serve("counter", counter);
}
