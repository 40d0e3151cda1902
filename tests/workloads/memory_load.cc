// Memory of a chosen kind in a chosen number of processes, each with a heartbeat that remembers its
// longest gap; also the benchmark's load.
//
//   memory_load MIB [PROCESSES [THREADS [CONTENT [PAGES [DIRTY_MIB_PER_SECOND]]]]]
//
// MIB are shared out evenly among PROCESSES (1). Each has THREADS (0) that only sleep. CONTENT is
// random, heap (pointers, small numbers and text, as an interpreter's heap: zstd -1 makes it about
// six times smaller) or zero (written, so that the pages exist). PAGES is 4k or huge. A hash is
// kept of every page, apart from it: a page in another's place or of another instant does not pass.
//
// Requests
//   reset   forgets the longest gap
//   touch   reads one word of every page of every process and says when that was done
//
// The report tells the longest gap of all processes and when the last of these gaps ended, in
// microseconds of CLOCK_REALTIME, the one clock that a restored process shares with its node:
// after a restore that is the first heartbeat of the slowest process.
#include <time.h>

#include <span>
#include <utility>
#include <vector>

#include "tests/workloads/workload.h"

namespace cryopod::workload {
namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kPageWords = kPageBytes / sizeof(std::uint64_t);
constexpr std::size_t kPagesPerMib = (std::size_t{1} << 20) / kPageBytes;
constexpr std::uint64_t kProcessesMax = 256;
constexpr auto kTick = std::chrono::milliseconds(1);
constexpr auto kAnswerWait = std::chrono::seconds(30);

struct Settings {
  std::uint64_t mib = 0;
  std::uint64_t processes = 1;
  std::uint64_t threads = 0;
  std::string content = "random";
  bool huge_pages = false;
  std::uint64_t dirty_mib_per_second = 0;
};

std::size_t PagesOfOne(const Settings& settings) {
  return std::max<std::size_t>(1, settings.mib * kPagesPerMib / settings.processes);
}

enum class Order : std::uint64_t { kNone, kTouch, kVerify, kCorrupt };

// What one process tells the first one, in memory that all of them share.
struct Seat {
  std::atomic<std::uint64_t> longest_gap_us = 0;
  std::atomic<std::uint64_t> longest_gap_end_us = 0;
  std::atomic<std::uint64_t> ticks = 0;
  std::atomic<std::uint64_t> order = 0;  // the number of the last order; its kind is Board::kind
  std::atomic<std::uint64_t> done = 0;   // the number of the last order that was carried out
  std::atomic<std::uint64_t> bad_pages = 0;
  std::atomic<std::uint64_t> pages_written = 0;
  std::atomic<std::uint64_t> hash = 0;  // of all pages
  std::atomic<std::uint64_t> is_ready = 0;
};

struct Board {
  std::atomic<Order> kind = Order::kNone;
  Seat seats[kProcessesMax];
};

std::uint64_t RealtimeUs() {
  timespec now = {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1'000;
}

void BeatForEver(Seat& seat) {
  std::uint64_t last = RealtimeUs();
  for (;;) {
    std::this_thread::sleep_for(kTick);
    const std::uint64_t now = RealtimeUs();
    const std::uint64_t gap = now > last ? now - last : 0;
    last = now;
    if (gap > seat.longest_gap_us) {
      seat.longest_gap_us = gap;
      seat.longest_gap_end_us = now;
    }
    ++seat.ticks;
  }
}

// One process's share of the memory.
class Memory {
 public:
  Memory(const Settings& settings, Seat& seat)
      : settings_(settings), seat_(seat), hashes_(PagesOfOne(settings)) {
    const std::size_t bytes = hashes_.size() * kPageBytes;
    void* memory = MapMemory(bytes);
    ::madvise(memory, bytes, settings.huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    words_ = static_cast<std::uint64_t*>(memory);
    for (std::size_t page = 0; page < hashes_.size(); ++page) Fill(page);
  }

  void Touch() const {
    const volatile std::uint64_t* words = words_;
    for (std::size_t page = 0; page < hashes_.size(); ++page) (void)words[page * kPageWords];
  }

  std::uint64_t BadPages() const {
    std::uint64_t bad = 0;
    for (std::size_t page = 0; page < hashes_.size(); ++page) {
      if (HashBytes(Words(page), kPageBytes) != hashes_[page]) ++bad;
    }
    return bad;
  }

  void Corrupt() {
    Words(hashes_.size() / 2)[kPageWords / 2] ^= 1;
    is_corrupted_ = true;  // else a page written anew would hide the damage
  }

  // Writes a part of the pages anew; the caller paces.
  void Dirty(std::size_t count) {
    for (std::size_t i = 0; i < count && !is_corrupted_; ++i) {
      Fill(random_ % hashes_.size());
      ++seat_.pages_written;
    }
  }

 private:
  std::uint64_t* Words(std::size_t page) const { return words_ + page * kPageWords; }

  std::uint64_t HeapWord() {
    const std::uint64_t value = random_ = random_ * 6364136223846793005U + 1442695040888963407U;
    const std::uint64_t kind = (value >> 60) & 15;
    if (kind < 5) return 0x00007f30'00000000U + ((value >> 32) & 0xff) * 0x40;  // a pointer
    if (kind < 9) return (value >> 40) & 7;                                     // a small number
    if (kind < 10) return 0x6f6d656d5f646f70U;                                  // text
    if (kind < 11) return value >> 16;                                          // a hash
    return 0;
  }

  void Fill(std::size_t page) {
    random_ = Mix(random_ + page);
    std::uint64_t* words = Words(page);
    if (settings_.content == "zero") {
      std::memset(words, 0, kPageBytes);
    } else {
      words[0] = page;
      const bool is_heap = settings_.content == "heap";
      for (std::size_t i = 1; i < kPageWords; ++i) {
        words[i] = is_heap ? HeapWord() : random_ = random_ * 6364136223846793005U + 1;
      }
    }
    const std::uint64_t before = std::exchange(hashes_[page], HashBytes(words, kPageBytes));
    seat_.hash ^= Mix(before ^ page) ^ Mix(hashes_[page] ^ page);
  }

  const Settings settings_;
  Seat& seat_;
  std::vector<std::uint64_t> hashes_;
  bool is_corrupted_ = false;
  std::uint64_t random_ = RandomNumber();
  std::uint64_t* words_ = nullptr;
};

void CarryOut(Order order, Memory& memory, Seat& seat) {
  if (order == Order::kTouch) memory.Touch();
  if (order == Order::kVerify) seat.bad_pages = memory.BadPages();
  if (order == Order::kCorrupt) memory.Corrupt();
}

// Dirties memory and carries out orders: one thread, so that neither sees the other half done.
[[noreturn]] void WorkForEver(const Settings& settings, Memory& memory, Board& board, Seat& seat) {
  const std::size_t dirty_per_ms =
      settings.dirty_mib_per_second * kPagesPerMib / settings.processes / 1000;
  for (;;) {
    std::this_thread::sleep_for(kTick);
    memory.Dirty(dirty_per_ms);
    const std::uint64_t order = seat.order;
    if (order == seat.done) continue;
    CarryOut(board.kind, memory, seat);
    seat.done = order;
  }
}

void StartProcess(const Settings& settings, Board& board, std::uint64_t index) {
  Seat& seat = board.seats[index];
  static Memory memory(settings, seat);
  for (std::uint64_t i = 0; i < settings.threads; ++i) {
    std::thread([] {
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }).detach();
  }
  std::thread([&seat] { BeatForEver(seat); }).detach();
  std::thread([&settings, &board, &seat] { WorkForEver(settings, memory, board, seat); }).detach();
  seat.is_ready = 1;
}

class Load final : public Workload {
 public:
  explicit Load(const Settings& settings) : settings_(settings) {}

  void Start() {
    for (std::uint64_t index = 1; index < settings_.processes; ++index) {
      if (Fork() != 0) continue;
      StartProcess(settings_, board_, index);
      for (;;) ::pause();
    }
    StartProcess(settings_, board_, 0);
    for (const Seat& seat : Seats()) {
      while (seat.is_ready == 0) std::this_thread::sleep_for(kTick);
    }
  }

  JsonLine Report() override {
    std::uint64_t gap = 0;
    std::uint64_t end = 0;
    std::uint64_t ticks = 0;
    std::uint64_t written = 0;
    std::uint64_t hash = 0;
    for (const Seat& seat : Seats()) {
      gap = std::max<std::uint64_t>(gap, seat.longest_gap_us);
      end = std::max<std::uint64_t>(end, seat.longest_gap_end_us);
      ticks += seat.ticks;
      written += seat.pages_written;
      hash = Mix(hash ^ seat.hash);
    }
    return JsonLine()
        .Number("pages", Pages())
        .Text("hash", Hex(hash))
        .Number("pages_written", written)
        .Number("largest_gap_us", gap)
        .Number("largest_gap_end_realtime_us", end)
        .Number("ticks", ticks);
  }

  std::string Verify() override {
    if (!GiveOrder(Order::kVerify)) return "a process does not answer";
    std::uint64_t bad = 0;
    for (const Seat& seat : Seats()) bad += seat.bad_pages;
    if (bad == 0) return "";
    return std::to_string(bad) + " of " + std::to_string(Pages()) + " pages differ";
  }

  void Corrupt() override { GiveOrder(Order::kCorrupt); }

  std::string Other(std::string_view request) override {
    if (request == "reset") {
      for (Seat& seat : Seats()) seat.longest_gap_us = 0;
      return "reset";
    }
    if (request != "touch") return "";
    if (!GiveOrder(Order::kTouch)) return "bad: a process does not answer";
    return JsonLine().Number("touched_realtime_us", RealtimeUs()).Finish();
  }

 private:
  std::span<Seat> Seats() const { return std::span(board_.seats).first(settings_.processes); }
  std::uint64_t Pages() const { return settings_.processes * PagesOfOne(settings_); }

  bool GiveOrder(Order order) {
    board_.kind = order;
    const std::uint64_t number = ++orders_;
    for (Seat& seat : Seats()) seat.order = number;
    const auto deadline = std::chrono::steady_clock::now() + kAnswerWait;
    for (const Seat& seat : Seats()) {
      while (seat.done != number) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    }
    return true;
  }

  const Settings settings_;
  Board& board_ = MakeShared<Board>();
  std::uint64_t orders_ = 0;
};

constexpr const char* kUsage =
    "memory_load MIB [PROCESSES [THREADS [random|heap|zero [4k|huge [DIRTY_MIB_PER_SECOND]]]]]";

std::uint64_t NumberOrZero(int argc, char** argv, int index) {
  if (index >= argc || std::string_view(argv[index]) == "0") return 0;
  return NumberArgument(argc, argv, index, kUsage);
}

Settings ReadSettings(int argc, char** argv) {
  Settings settings;
  settings.mib = NumberArgument(argc, argv, 1, kUsage);
  settings.processes = argc > 2 ? NumberArgument(argc, argv, 2, kUsage) : 1;
  settings.threads = NumberOrZero(argc, argv, 3);
  if (argc > 4) settings.content = argv[4];
  settings.huge_pages = argc > 5 && std::string_view(argv[5]) == "huge";
  settings.dirty_mib_per_second = NumberOrZero(argc, argv, 6);
  const bool is_known =
      settings.content == "random" || settings.content == "heap" || settings.content == "zero";
  if (!is_known || settings.processes > kProcessesMax) NumberArgument(0, argv, 1, kUsage);
  return settings;
}

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("memory_load", argc, argv);
  static const Settings settings = ReadSettings(argc, argv);
  static Load load(settings);
  load.Start();
  Serve("memory_load", load);
}
