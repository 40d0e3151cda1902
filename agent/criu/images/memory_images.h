#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::criu {

// An area of mm-<pid>.img. `protection` and `flags` as of mmap(2), `status` VMA_* of CRIU.
struct MemoryArea {
  uint64_t start = 0;
  uint64_t end = 0;
  uint32_t protection = 0;
  uint32_t flags = 0;
  uint32_t status = 0;
};

// An entry of pagemap-<pid>.img. The pages file holds the pages of all entries, one after another.
struct PagemapEntry {
  uint64_t address = 0;
  uint64_t pages = 0;
  uint32_t flags = 0;
  // How CRIU wrote it: before 4.2 the number of pages had 32 bits, in a field of its own.
  bool has_flags = false;
  bool has_wide_number = false;
};

// The memory of one process, as its images have it.
struct ProcessMemory {
  pid_t pid = 0;  // in the container's PID namespace
  pid_t parent_pid = 0;
  std::vector<MemoryArea> areas;  // sorted, they do not overlap
  uint32_t pages_id = 0;          // no other pagemap names this pages file
  std::vector<PagemapEntry> entries;
  uint64_t pages = 0;  // of all entries
  // Addresses of pages into which the kernel writes as soon as a thread exists (restartable
  // sequences), sorted: what stands in them in the image is older.
  std::vector<uint64_t> kernel_pages;
};

std::string PagemapFile(pid_t pid);
std::string PagesFile(uint32_t pages_id);

// Every process that has memory.
//
// Source  CRIU 4.2, images/{mm,vma,pagemap,core,rseq}.proto, criu/pagemap.c, include/image.h.
// Errors  kNotFound (an image is absent), kDataLoss, kUnimplemented (pages in a parent's images,
//         or of a kind that is not known here), kResourceExhausted (more entries than are held).
Result<std::vector<ProcessMemory>> ReadMemoryImages(int images_dir_fd);

// Gives a process a pagemap image with these entries instead.
Status WritePagemap(int images_dir_fd, pid_t pid, uint32_t pages_id,
                    const std::vector<PagemapEntry>& entries);

}  // namespace cryopod::criu
