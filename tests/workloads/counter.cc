// Counts in memory every 10 ms and writes its counter to standard output every 100 ms.
//
//   counter
//
// Besides the counter it keeps a hash chain of one link per count: verify walks the chain anew, so
// a counter that lost or repeated counts, or came from another instance, does not pass. Requests:
// reset (forgets the largest gap).
#include <mutex>

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

class Counter {
 public:
  void Start() {
    gaps_.Start();
    std::thread([this] { CountForEver(); }).detach();
    std::thread([this] { PrintForEver(); }).detach();
  }

  JsonLine Report() {
    const Count count = Read();
    return JsonLine()
        .Number("counter", count.counter)
        .Text("chain", Hex(count.chain))
        .Number("largest_gap_us", gaps_.largest_gap_us())
        .Number("ticks", gaps_.ticks());
  }

  std::string Verify() {
    const Count count = Read();
    std::uint64_t chain = count.seed;
    for (std::uint64_t i = 0; i < count.counter; ++i) chain = Mix(chain);
    if (chain != count.chain)
      return "counter " + std::to_string(count.counter) + " is off its chain";
    return "";
  }

  void Corrupt() {
    const std::lock_guard lock(mutex_);
    ++count_.counter;
  }

  void ForgetGap() { gaps_.Reset(); }

 private:
  Count Read() {
    const std::lock_guard lock(mutex_);
    return count_;
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
  GapWatch gaps_;
};

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("counter", argc, argv);
  static Counter counter;
  counter.Start();
  Serve("counter", {
                       .report = [] { return counter.Report(); },
                       .verify = [] { return counter.Verify(); },
                       .corrupt = [] { counter.Corrupt(); },
                       .other =
                           [](std::string_view request) {
                             if (request != "reset") return "";
                             counter.ForgetGap();
                             return "reset";
                           },
                   });
}
