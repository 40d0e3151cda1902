#include "agent/os/heap.h"

#include <malloc.h>

namespace cryopod {

void KeepHeapSmall() {
  // Threads that come and go would else keep a heap of their own each, and a large buffer once
  // freed would raise the size from which the next ones are given back.
  static constexpr int kArenasMax = 2;
  static constexpr int kMmapThresholdBytes = 128 << 10;
  ::mallopt(M_ARENA_MAX, kArenasMax);
  ::mallopt(M_MMAP_THRESHOLD, kMmapThresholdBytes);
  ::mallopt(M_TRIM_THRESHOLD, kMmapThresholdBytes);
}

}  // namespace cryopod
