#pragma once

#include <malloc.h>

namespace cryopod {

// For a steady process of many threads: what they free goes back to the kernel, at the price of
// more system calls. Before the first thread.
inline void KeepHeapSmall() {
  // Threads that come and go would else keep a heap of their own each, and a large buffer once
  // freed would raise the size from which the next ones are given back.
  constexpr int kArenasMax = 2;
  constexpr int kMmapThresholdBytes = 128 << 10;
  ::mallopt(M_ARENA_MAX, kArenasMax);
  ::mallopt(M_MMAP_THRESHOLD, kMmapThresholdBytes);
  ::mallopt(M_TRIM_THRESHOLD, kMmapThresholdBytes);
}

}  // namespace cryopod
