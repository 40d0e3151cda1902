// Fills memory with random pages, keeps a hash of each, and verifies them on request.
//
//   memory_pages MIB [PAGES_PER_SECOND]
//
// With PAGES_PER_SECOND it also writes pages anew all the time, each under the lock that verify
// takes too. Every page holds its own number, so a page in another's place does not pass either.
// SIGUSR1 verifies and writes the verdict to standard output. Requests: reset (forgets the largest
// gap).
#include <sys/mman.h>

#include <mutex>
#include <vector>

#include "tests/workloads/workload.h"

namespace cryopod::workload {
namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kPageWords = kPageBytes / sizeof(std::uint64_t);

class Pages {
 public:
  explicit Pages(std::size_t count) : hashes_(count) {
    void* memory = ::mmap(nullptr, count * kPageBytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) Die("mmap");
    words_ = static_cast<std::uint64_t*>(memory);
    for (std::size_t page = 0; page < count; ++page) Fill(page);
  }

  void Start(std::uint64_t pages_per_second) {
    gaps_.Start();
    if (pages_per_second == 0) return;
    std::thread([this, pages_per_second] { WriteForEver(pages_per_second); }).detach();
  }

  JsonLine Report() {
    return JsonLine()
        .Number("pages", hashes_.size())
        .Text("hash", Hex(HashOfAll()))
        .Number("pages_written", pages_written_)
        .Number("verifications", verifications_)
        .Number("largest_gap_us", gaps_.largest_gap_us());
  }

  std::string Verify() {
    std::size_t bad = 0;
    std::size_t first_bad = 0;
    for (std::size_t page = 0; page < hashes_.size(); ++page) {
      const std::lock_guard lock(mutex_);
      const std::uint64_t* words = Words(page);
      if (words[0] == page && HashBytes(words, kPageBytes) == hashes_[page]) continue;
      if (bad++ == 0) first_bad = page;
    }
    ++verifications_;
    if (bad == 0) return "";
    return std::to_string(bad) + " of " + std::to_string(hashes_.size()) +
           " pages differ, the first is " + std::to_string(first_bad);
  }

  void Corrupt() {
    const std::lock_guard lock(mutex_);
    Words(hashes_.size() / 2)[kPageWords / 2] ^= 1;
    is_corrupted_ = true;  // else a page written anew would hide the damage
  }

  void ForgetGap() { gaps_.Reset(); }

 private:
  std::uint64_t* Words(std::size_t page) { return words_ + page * kPageWords; }

  std::uint64_t HashOfAll() {
    const std::lock_guard lock(mutex_);
    return HashBytes(hashes_.data(), hashes_.size() * sizeof(hashes_[0]));
  }

  void Fill(std::size_t page) {
    std::uint64_t* words = Words(page);
    words[0] = page;
    std::uint64_t value = random_ = Mix(random_ + page);
    for (std::size_t i = 1; i < kPageWords; ++i)
      words[i] = value = value * 6364136223846793005U + 1;
    hashes_[page] = HashBytes(words, kPageBytes);
  }

  [[noreturn]] void WriteForEver(std::uint64_t pages_per_second) {
    constexpr std::uint64_t kBatchesPerSecond = 200;
    const std::uint64_t batch = std::max<std::uint64_t>(1, pages_per_second / kBatchesPerSecond);
    std::uint64_t random = RandomNumber();
    for (;;) {
      for (std::uint64_t i = 0; i < batch; ++i) {
        random = Mix(random);
        const std::lock_guard lock(mutex_);
        if (is_corrupted_) continue;
        Fill(random % hashes_.size());
        ++pages_written_;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(1'000'000 * batch / pages_per_second));
    }
  }

  std::mutex mutex_;
  bool is_corrupted_ = false;
  std::uint64_t random_ = RandomNumber();
  std::uint64_t* words_ = nullptr;
  std::vector<std::uint64_t> hashes_;
  std::atomic<std::uint64_t> pages_written_ = 0;
  std::atomic<std::uint64_t> verifications_ = 0;
  GapWatch gaps_;
};

// A thread that waits for the signal, so that the verification runs in no handler.
void VerifyOnSignal(Pages& pages) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);  // before any thread: all of them inherit it
  std::thread([&pages, set] {
    for (;;) {
      int signal_number = 0;
      if (sigwait(&set, &signal_number) != 0) continue;
      const std::string reason = pages.Verify();
      WriteAll(STDOUT_FILENO, reason.empty() ? "verify ok\n" : "verify bad: " + reason + "\n");
    }
  }).detach();
}

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("memory_pages", argc, argv);
  constexpr const char* kUsage = "memory_pages MIB [PAGES_PER_SECOND]";
  const std::uint64_t mib = NumberArgument(argc, argv, 1, kUsage);
  const std::uint64_t pages_per_second = argc > 2 ? NumberArgument(argc, argv, 2, kUsage) : 0;
  static Pages pages(mib * (1024 * 1024 / kPageBytes));
  VerifyOnSignal(pages);
  pages.Start(pages_per_second);
  Serve("memory_pages", {
                            .report = [] { return pages.Report(); },
                            .verify = [] { return pages.Verify(); },
                            .corrupt = [] { pages.Corrupt(); },
                            .other =
                                [](std::string_view request) {
                                  if (request != "reset") return "";
                                  pages.ForgetGap();
                                  return "reset";
                                },
                        });
}
