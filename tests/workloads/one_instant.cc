// Memory that proves one instant: every page is stamped with a generation, in order, for ever.
//
//   one_instant MIB [THREADS]
//
// At every instant the first k pages of a slice, in its order, hold generation g and all others
// g - 1; each thread (1) has a slice and an order of its own, and begins with g only when all
// others have ended g - 1. So a page that was taken at another instant than its neighbours, than
// the registers of its thread or than the other threads' pages holds a generation that it must not.
//
// Nothing is stamped over unseen: a thread looks at what a page holds before it stamps it, so bad
// pages are found at the latest one generation later, whatever else fails to notice the cut. And a
// thread that finds the clock ahead by some milliseconds, as after a freeze or a restore, makes all
// threads stand and all pages be looked at before the stamping goes on. It reads the clock only
// every 32 pages; what it stamps between the thaw and the next reading is covered by that first
// look.
//
// A bad page is counted once: whoever finds it sets it right. A thread rests for a moment after
// every 8 MiB: with all processors taken without a pause, each wakeup of those that judge it would
// wait for the end of a time slice.
#include <condition_variable>
#include <memory>
#include <numeric>
#include <vector>

#include "tests/workloads/workload.h"

namespace cryopod::workload {
namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kPageWords = kPageBytes / sizeof(std::uint64_t);
constexpr std::size_t kPagesPerClock = 32;
constexpr std::uint64_t kPagesPerRest = 2048;
constexpr auto kRest = std::chrono::milliseconds(1);
// Above what a busy machine does to a thread all the time; a look too many is only slow.
constexpr auto kGap = std::chrono::milliseconds(5);
constexpr auto kCheckTimeout = std::chrono::seconds(20);

using Clock = std::chrono::steady_clock;

// What a page holds besides its generation: as its last word, so a page copied halfway is found,
// and made with its number, so one in another's place is.
std::uint64_t Seal(std::size_t page, std::uint64_t generation) {
  return Mix(generation ^ Mix(page));
}

// The pages of one thread. Its position stands in the thread's registers too, and must be the same.
struct alignas(kPageBytes) Slice {
  std::size_t first = 0;
  std::size_t count = 0;
  std::size_t stride = 1;  // has no common divisor with count
  Clock::time_point clock;
  std::uint64_t since_rest = 0;
  std::atomic<std::uint64_t> generation = 1;  // that is being stamped
  std::atomic<std::size_t> stamped = 0;       // pages that hold it already

  std::size_t PageAt(std::size_t index) const { return first + index * stride % count; }
};

class Instant final : public Workload {
 public:
  Instant(std::size_t page_count, std::size_t thread_count) : page_count_(page_count) {
    words_ = static_cast<std::uint64_t*>(MapMemory(page_count * kPageBytes));
    std::uint64_t value = RandomNumber();
    for (std::size_t i = 0; i < page_count * kPageWords; ++i) {
      words_[i] = value = value * 6364136223846793005U + 1;
    }
    for (std::size_t page = 0; page < page_count; ++page) Stamp(page, 0);
    for (std::size_t i = 0; i < thread_count; ++i) slices_.push_back(MakeSlice(i, thread_count));
  }

  void Start() {
    for (const auto& slice : slices_) {
      slice->clock = Clock::now();
      std::thread([this, &slice = *slice] { StampForEver(slice); }).detach();
    }
  }

  JsonLine Report() override {
    const std::lock_guard lock(mutex_);
    return JsonLine()
        .Number("pages", page_count_)
        .Number("threads", slices_.size())
        .Text("memory", Hex(reinterpret_cast<std::uintptr_t>(words_)))
        .Number("generation", slices_.front()->generation)
        .Number("checks", checks_)
        .Number("gaps", gaps_)
        .Number("largest_gap_us", largest_gap_us_)
        .Number("pages_checked", checks_ * page_count_)
        .Number("bad_pages", bad_pages_)
        .Number("worst_check", worst_check_)
        .Number("bad_positions", positions_.count());
  }

  std::string Verify() override {
    if (!Check(false)) return "a thread does not stamp any more";
    const std::lock_guard lock(mutex_);
    if (bad_pages_ == 0) return positions_.Reason();
    return std::to_string(bad_pages_) + " pages of another instant, up to " +
           std::to_string(worst_check_) + " at once; the first is " + first_bad_;
  }

  void Corrupt() override { Check(true); }

 private:
  std::unique_ptr<Slice> MakeSlice(std::size_t index, std::size_t slice_count) const {
    auto slice = std::make_unique<Slice>();
    slice->first = page_count_ * index / slice_count;
    slice->count = page_count_ * (index + 1) / slice_count - slice->first;
    // The first goes up, the second down, each other one leaps its own way.
    if (index == 1) slice->stride = slice->count - 1;
    if (index > 1) slice->stride = slice->count / (index + 1) + 1;
    while (std::gcd(slice->stride, slice->count) != 1) ++slice->stride;
    return slice;
  }

  std::uint64_t* Words(std::size_t page) const { return words_ + page * kPageWords; }

  void Stamp(std::size_t page, std::uint64_t generation) {
    std::uint64_t* words = Words(page);
    words[0] = generation;
    words[kPageWords - 1] = Seal(page, generation);
  }

  bool Holds(std::size_t page, std::uint64_t generation) const {
    const std::uint64_t* words = Words(page);
    return words[0] == generation && words[kPageWords - 1] == Seal(page, generation);
  }

  // The caller holds the mutex.
  void CountBad(std::size_t page, std::uint64_t generation) {
    if (bad_pages_++ != 0) return;
    first_bad_ = std::to_string(page) + ": it holds generation " + std::to_string(Words(page)[0]) +
                 " and not " + std::to_string(generation);
  }

  [[noreturn]] void StampForEver(Slice& slice) {
    for (std::uint64_t generation = 1;; ++generation) {
      while (!MayBegin(generation)) {
        LookAtClock(slice, generation, 0);
        std::this_thread::sleep_for(std::chrono::microseconds(20));
      }
      for (std::size_t stamped = 0; stamped < slice.count; ++stamped) {
        if (stamped % kPagesPerClock == 0) LookAtClock(slice, generation, stamped);
        const std::size_t page = slice.PageAt(stamped);
        if (!Holds(page, generation - 1)) {
          const std::lock_guard lock(mutex_);
          CountBad(page, generation - 1);
          worst_check_ = std::max<std::uint64_t>(worst_check_, 1);
        }
        if (slice.generation != generation || slice.stamped != stamped) {
          positions_.Add("a thread is not where its memory says");
        }
        Stamp(page, generation);
        slice.stamped = stamped + 1;
        if (++slice.since_rest % kPagesPerRest == 0) std::this_thread::sleep_for(kRest);
      }
      slice.stamped = 0;
      slice.generation = generation + 1;
    }
  }

  bool MayBegin(std::uint64_t generation) const {
    return std::all_of(slices_.begin(), slices_.end(),
                       [&](const auto& slice) { return slice->generation >= generation; });
  }

  void LookAtClock(Slice& slice, std::uint64_t generation, std::size_t stamped) {
    const auto now = Clock::now();
    const auto gap = now - slice.clock;
    slice.clock = now;
    // On another machine the clock may stand anywhere.
    if (gap > kGap || gap < Clock::duration::zero()) {
      const std::lock_guard lock(mutex_);
      ++gaps_;
      const auto us = std::chrono::duration_cast<std::chrono::microseconds>(gap).count();
      largest_gap_us_ = std::max(largest_gap_us_, static_cast<std::uint64_t>(us > 0 ? us : 0));
      is_check_wanted_ = true;
    }
    if (!is_check_wanted_) return;
    Stand(slice, generation, stamped);
    slice.clock = Clock::now();
  }

  // Waits until all threads stand; the last one looks at all pages and lets them go.
  void Stand(Slice& slice, std::uint64_t generation, std::size_t stamped) {
    std::unique_lock lock(mutex_);
    if (!is_check_wanted_) return;
    if (slice.generation != generation || slice.stamped != stamped) {
      positions_.Add("a standing thread is not where its memory says");
    }
    if (++standing_ < slices_.size()) {
      const std::uint64_t check = checks_;
      all_looked_.wait(lock, [&] { return checks_ != check; });
      return;
    }
    CheckAll();
    if (is_damage_wanted_) Stamp(page_count_ / 2, slice.generation + 7);
    is_damage_wanted_ = false;
    is_check_wanted_ = false;
    standing_ = 0;
    ++checks_;
    all_looked_.notify_all();
  }

  void CheckAll() {
    const std::uint64_t bad_before = bad_pages_;
    for (const auto& slice : slices_) {
      for (std::size_t i = 0; i < slice->count; ++i) {
        const std::size_t page = slice->PageAt(i);
        const std::uint64_t generation = slice->generation - (i < slice->stamped ? 0 : 1);
        if (Holds(page, generation)) continue;
        CountBad(page, generation);
        Stamp(page, generation);
      }
      if (slice->stamped != 0 && !MayBegin(slice->generation)) {
        positions_.Add("a thread is ahead of another by a generation");
      }
    }
    worst_check_ = std::max(worst_check_, bad_pages_ - bad_before);
  }

  // Has all pages looked at once; false when that cannot be had.
  bool Check(bool with_damage) {
    std::unique_lock lock(mutex_);
    const std::uint64_t check = checks_;
    is_damage_wanted_ = with_damage;
    is_check_wanted_ = true;
    return all_looked_.wait_for(lock, kCheckTimeout, [&] { return checks_ != check; });
  }

  const std::size_t page_count_;
  std::uint64_t* words_ = nullptr;
  std::vector<std::unique_ptr<Slice>> slices_;
  std::atomic<bool> is_check_wanted_ = false;
  std::mutex mutex_;  // of all that follows
  std::condition_variable all_looked_;
  bool is_damage_wanted_ = false;
  std::size_t standing_ = 0;
  std::uint64_t checks_ = 0;
  std::uint64_t gaps_ = 0;
  std::uint64_t largest_gap_us_ = 0;
  std::uint64_t bad_pages_ = 0;
  std::uint64_t worst_check_ = 0;
  std::string first_bad_;
  Violations positions_;
};

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("one_instant", argc, argv);
  constexpr const char* kUsage = "one_instant MIB [THREADS]";
  const std::uint64_t mib = NumberArgument(argc, argv, 1, kUsage);
  const std::uint64_t threads = argc > 2 ? NumberArgument(argc, argv, 2, kUsage) : 1;
  static Instant instant(mib * (1024 * 1024 / kPageBytes), threads);
  instant.Start();
  Serve("one_instant", instant);
}
