#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "agent/archive/tar/layer_entry.h"

// What this program holds through operator new, and the most that it ever was. A program of its
// own: every other test is better off with the allocator of its sanitizer.
namespace {

std::atomic<size_t> held_bytes{0};
std::atomic<size_t> peak_bytes{0};

void Free(void* memory) noexcept {
  held_bytes -= ::malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace

void* operator new(size_t size) {
  void* const memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  held_bytes += ::malloc_usable_size(memory);
  peak_bytes = std::max(peak_bytes.load(), held_bytes.load());
  return memory;
}
void operator delete(void* memory) noexcept { Free(memory); }
void operator delete(void* memory, size_t) noexcept { Free(memory); }

namespace cryopod::archive::test {
namespace {

TEST(LayerCheckerMemoryTest, AMillionEntriesOfLongPathsTakeNoMoreThanTwentyFourMebibytes) {
  const std::string directory(200, 'd');
  LayerChecker checker({.entries_max = kLayerEntriesMax + 1});
  const size_t before = held_bytes;
  peak_bytes = before;
  LayerEntry entry;

  for (uint64_t i = 0; i < kLayerEntriesMax; ++i) {
    entry.kind = i % 4 == 0 ? LayerEntry::Kind::kSymlink : LayerEntry::Kind::kFile;
    entry.link_target = i % 4 == 0 ? "elsewhere" : "";
    entry.path = directory + std::to_string(i);
    ASSERT_TRUE(checker.Check(entry).ok()) << i;
  }

  const size_t peak = peak_bytes - before;
  std::printf("peak of %llu entries: %zu KiB\n", static_cast<unsigned long long>(kLayerEntriesMax),
              peak >> 10);
  EXPECT_LE(peak, (size_t{24} << 20) + 4096);
  // It has not forgotten any.
  entry = {.kind = LayerEntry::Kind::kFile, .path = directory + "17"};
  EXPECT_EQ(checker.Check(entry).code(), Code::kDataLoss);
}

}  // namespace
}  // namespace cryopod::archive::test
