// Has an area of memory of each kind that a restore may treat in its own way, and a forked process
// that shares memory copy-on-write; verifies all of them on request.
//
//   memory_kinds
//
// The report's "shared_pages" are those pages of the second process that no write has parted from
// the first one's.
#include <pthread.h>

#include <vector>

#include "tests/workloads/workload.h"

namespace cryopod::workload {
namespace {

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kAreaPages = 512;
constexpr std::size_t kAreaBytes = kAreaPages * kPageBytes;
// Of the shared area, the second process has written these anew.
constexpr std::size_t kOwnPages = kAreaPages / 4;
// In an area of holes, so many pages are there and so many are not.
constexpr std::size_t kHoleStep = 24;
constexpr auto kAnswerWait = std::chrono::seconds(20);

struct Area {
  const char* name = "";
  unsigned char* bytes = nullptr;
  std::uint64_t seed = 0;
  std::size_t step = 1;  // every step-th run of `step` pages is a hole
};

bool IsHole(const Area& area, std::size_t page) {
  return area.step > 1 && page / area.step % 2 == 1;
}

std::uint64_t WordOf(std::uint64_t seed, std::size_t page, std::size_t word) {
  return Mix(seed ^ (page << 16) ^ word);
}

void FillPage(unsigned char* bytes, std::uint64_t seed, std::size_t page) {
  std::uint64_t words[kPageBytes / 8];
  for (std::size_t word = 0; word < kPageBytes / 8; ++word) words[word] = WordOf(seed, page, word);
  std::memcpy(bytes + page * kPageBytes, words, kPageBytes);
}

bool IsPage(const unsigned char* bytes, std::uint64_t seed, std::size_t page) {
  for (std::size_t word = 0; word < kPageBytes / 8; ++word) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes + page * kPageBytes + word * 8, 8);
    if (value != WordOf(seed, page, word)) return false;
  }
  return true;
}

void Fill(const Area& area) {
  for (std::size_t page = 0; page < kAreaPages; ++page) {
    if (!IsHole(area, page)) FillPage(area.bytes, area.seed, page);
  }
}

std::string VerifyArea(const Area& area) {
  for (std::size_t page = 0; page < kAreaPages; ++page) {
    const bool good = IsHole(area, page) ? area.bytes[page * kPageBytes] == 0
                                         : IsPage(area.bytes, area.seed, page);
    if (!good) return std::string(area.name) + ": page " + std::to_string(page) + " differs";
  }
  return "";
}

unsigned char* Map(int flags) {
  // A hole on either side: no two areas become one.
  void* memory = ::mmap(nullptr, kAreaBytes + 2 * kPageBytes, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) Die("mmap");
  auto* bytes = static_cast<unsigned char*>(memory) + kPageBytes;
  if (::mmap(bytes, kAreaBytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
      MAP_FAILED) {
    Die("mmap");
  }
  return bytes;
}

// What the two processes tell each other.
struct Board {
  std::atomic<std::uint64_t> asked = 0;
  std::atomic<std::uint64_t> answered = 0;
  std::atomic<std::uint64_t> bad_pages = 0;
  std::atomic<std::uint64_t> shared_pages = 0;
};

// Pages of the area that pagemap says are mapped by somebody else, too.
std::uint64_t CountShared(const unsigned char* bytes) {
  const int pagemap = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  std::vector<std::uint64_t> entries(kAreaPages);
  const auto offset = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(bytes) / kPageBytes * 8);
  if (pagemap < 0 || ::pread(pagemap, entries.data(), kAreaPages * 8, offset) < 0) Die("pagemap");
  ::close(pagemap);
  constexpr std::uint64_t kPresent = std::uint64_t{1} << 63;
  constexpr std::uint64_t kExclusive = std::uint64_t{1} << 56;
  return static_cast<std::uint64_t>(std::count_if(
      entries.begin(), entries.end(),
      [](std::uint64_t entry) { return (entry & kPresent) != 0 && (entry & kExclusive) == 0; }));
}

class Kinds final : public Workload {
 public:
  Kinds() {
    Add("plain", MAP_PRIVATE);
    Add("holes", MAP_PRIVATE, kHoleStep);
    Add("short runs", MAP_PRIVATE, 3);
    Add("shared", MAP_SHARED);
    Advise(Add("not inherited", MAP_PRIVATE), MADV_DONTFORK);
    Advise(Add("huge", MAP_PRIVATE), MADV_HUGEPAGE);
    // What is locked may be bounded to less than this.
    (void)::mlock(Add("locked", MAP_PRIVATE).bytes, kAreaBytes);
    Protect(Add("read only", MAP_PRIVATE), PROT_READ);
    Protect(Add("unreadable", MAP_PRIVATE), PROT_NONE);
    AddStack();
    StartSecond();
  }

  JsonLine Report() override {
    return JsonLine().Number("shared_pages", AskSecond().empty() ? board_.shared_pages.load() : 0);
  }

  std::string Verify() override {
    for (const Area& area : areas_) {
      const bool unreadable = std::string_view(area.name) == "unreadable";
      if (unreadable) Protect(area, PROT_READ);
      const std::string reason = VerifyArea(area);
      if (unreadable) Protect(area, PROT_NONE);
      if (!reason.empty()) return reason;
    }
    return AskSecond();
  }

  void Corrupt() override { areas_.front().bytes[kPageBytes * 7] ^= 1; }

 private:
  Area& Add(const char* name, int flags, std::size_t step = 1) {
    areas_.push_back({name, Map(flags), RandomNumber(), step});
    Fill(areas_.back());
    return areas_.back();
  }
  static void Advise(const Area& area, int advice) {
    if (::madvise(area.bytes, kAreaBytes, advice) != 0 && errno != EINVAL) Die(area.name);
  }
  static void Protect(const Area& area, int protection) {
    if (::mprotect(area.bytes, kAreaBytes, protection) != 0) Die(area.name);
  }

  // Of a thread that sleeps: with the guard below it that the C library makes.
  void AddStack() {
    static std::atomic<unsigned char*> place = nullptr;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 2 * kAreaBytes);
    pthread_t thread;
    const auto run = [](void*) -> void* {
      unsigned char bytes[kAreaBytes];
      std::memset(bytes, 1, sizeof(bytes));
      place = bytes;
      for (;;) ::pause();
    };
    if (::pthread_create(&thread, &attributes, run, nullptr) != 0) Die("pthread_create");
    pthread_attr_destroy(&attributes);
    while (place == nullptr) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    areas_.push_back({"stack", place, RandomNumber(), 1});
    Fill(areas_.back());
  }

  void StartSecond() {
    common_ = {"copy on write", Map(MAP_PRIVATE), RandomNumber(), 1};
    Fill(common_);
    if (Fork() == 0) RunSecond();
    areas_.push_back(common_);
  }

  [[noreturn]] void RunSecond() {
    const std::uint64_t own_seed = common_.seed + 1;
    for (std::size_t page = 0; page < kOwnPages; ++page) FillPage(common_.bytes, own_seed, page);
    for (;; std::this_thread::sleep_for(std::chrono::milliseconds(5))) {
      const std::uint64_t asked = board_.asked;
      if (asked == board_.answered) continue;
      std::uint64_t bad = 0;
      for (std::size_t page = 0; page < kAreaPages; ++page) {
        const std::uint64_t seed = page < kOwnPages ? own_seed : common_.seed;
        if (!IsPage(common_.bytes, seed, page)) ++bad;
      }
      board_.bad_pages = bad;
      board_.shared_pages = CountShared(common_.bytes);
      board_.answered = asked;
    }
  }

  std::string AskSecond() {
    const std::uint64_t number = ++board_.asked;
    if (!Soon(kAnswerWait, [&] { return board_.answered == number; })) {
      return "the second process does not answer";
    }
    const std::uint64_t bad = board_.bad_pages;
    return bad == 0 ? "" : std::to_string(bad) + " pages of the second process differ";
  }

  std::vector<Area> areas_;
  Area common_;
  Board& board_ = MakeShared<Board>();
};

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("memory_kinds", argc, argv);
  static Kinds kinds;
  Serve("memory_kinds", kinds);
}
