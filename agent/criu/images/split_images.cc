#include "agent/criu/images/split_images.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/criu/images/fill_list.h"
#include "agent/criu/images/image_file.h"
#include "agent/criu/images/memory_images.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"

namespace cryopod::criu {
namespace {

// Source: CRIU 4.2, criu/include/image.h.
constexpr uint32_t kRegular = 1u << 0;
constexpr uint32_t kHeap = 1u << 5;
constexpr uint32_t kAnonymousPrivate = 1u << 9;

constexpr size_t kCopyBytes = size_t{1} << 20;

using Place = std::pair<uint64_t, uint64_t>;  // start and end of an area

// A part of one pagemap entry.
struct Piece {
  PagemapEntry entry;
  uint64_t first = 0;  // number of its first page in the pages file
  bool taken_out = false;
};

bool IsPlainAnonymous(const MemoryArea& area) {
  const uint32_t status = area.status & ~kHeap;
  constexpr uint32_t kWanted = MAP_PRIVATE | MAP_ANONYMOUS;
  // Locked memory is there as soon as it is mapped: CRIU's own reading costs no more.
  constexpr uint32_t kUnwanted = MAP_SHARED | MAP_GROWSDOWN | MAP_HUGETLB | MAP_LOCKED;
  return status == (kRegular | kAnonymousPrivate) && (area.protection & PROT_WRITE) != 0 &&
         (area.flags & kWanted) == kWanted && (area.flags & kUnwanted) == 0 &&
         area.end <= kUserAddressMax;
}

// Cuts the entries of one process where what is to be done with the pages changes.
class Cutter {
 public:
  Cutter(const ProcessMemory& memory, const std::set<Place>& relatives)
      : memory_(memory), relatives_(relatives) {}

  // Errors: kDataLoss, pages outside every area.
  Result<std::vector<Piece>> Run() {
    uint64_t first = 0;
    for (const PagemapEntry& entry : memory_.entries) {
      for (uint64_t done = 0; done < entry.pages;) {
        const uint64_t address = entry.address + done * PageBytes();
        CRYOPOD_ASSIGN_OR_RETURN(const Span span, SpanAt(address));
        const uint64_t pages = std::min(entry.pages - done, (span.end - address) / PageBytes());
        Add(entry, address, pages, first, span.eligible && pages >= kRunPagesMin, done > 0);
        done += pages;
        first += pages;
      }
    }
    return std::move(pieces_);
  }

 private:
  // From an address on, all pages up to `end` are of one sort.
  struct Span {
    uint64_t end = 0;
    bool eligible = false;
  };

  Result<Span> SpanAt(uint64_t address) const {
    const auto area =
        std::upper_bound(memory_.areas.begin(), memory_.areas.end(), address,
                         [](uint64_t at, const MemoryArea& one) { return at < one.end; });
    if (area == memory_.areas.end() || address < area->start) {
      return BrokenImage(PagemapFile(memory_.pid), "pages outside every area");
    }
    if (!IsPlainAnonymous(*area) || relatives_.contains({area->start, area->end})) {
      return Span{area->end, false};
    }
    const auto kernel =
        std::lower_bound(memory_.kernel_pages.begin(), memory_.kernel_pages.end(), address);
    if (kernel == memory_.kernel_pages.end()) return Span{area->end, true};
    if (*kernel == address) return Span{address + PageBytes(), false};
    return Span{std::min(area->end, *kernel), true};
  }

  void Add(const PagemapEntry& whole, uint64_t address, uint64_t pages, uint64_t first,
           bool taken_out, bool continues) {
    if (continues && !taken_out && !pieces_.back().taken_out) {
      pieces_.back().entry.pages += pages;
      return;
    }
    Piece piece{whole, first, taken_out};
    piece.entry.address = address;
    piece.entry.pages = pages;
    pieces_.push_back(piece);
  }

  const ProcessMemory& memory_;
  const std::set<Place>& relatives_;
  std::vector<Piece> pieces_;
};

// Areas that a parent or a child of the process has as well.
std::set<Place> PlacesOfRelatives(const std::vector<ProcessMemory>& all,
                                  const ProcessMemory& memory) {
  std::set<Place> places;
  for (const ProcessMemory& other : all) {
    if (other.pid != memory.parent_pid && other.parent_pid != memory.pid) continue;
    for (const MemoryArea& area : other.areas) places.insert({area.start, area.end});
  }
  return places;
}

struct ProcessSplit {
  pid_t pid = 0;
  uint32_t pages_id = 0;
  uint64_t pages = 0;
  std::vector<Piece> pieces;
};

bool IsWorthIt(const std::vector<Piece>& pieces) {
  uint64_t taken_out = 0;
  uint64_t stays = 0;
  for (const Piece& piece : pieces) {
    (piece.taken_out ? taken_out : stays) += piece.entry.pages;
  }
  // CRIU looks at the first entry without asking whether there is one.
  return taken_out * PageBytes() >= kProcessBytesMin && taken_out >= stays && stays > 0;
}

Result<std::vector<ProcessSplit>> Decide(int dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<ProcessMemory> all, ReadMemoryImages(dir_fd));
  std::vector<ProcessSplit> splits;
  size_t fills = 0;
  for (const ProcessMemory& memory : all) {
    // Nothing can come of it, and who its relatives are takes time.
    if (memory.pages * PageBytes() < kProcessBytesMin) continue;
    const std::set<Place> relatives = PlacesOfRelatives(all, memory);
    CRYOPOD_ASSIGN_OR_RETURN(std::vector<Piece> pieces, Cutter(memory, relatives).Run());
    if (!IsWorthIt(pieces)) continue;
    const auto runs = std::count_if(pieces.begin(), pieces.end(),
                                    [](const Piece& piece) { return piece.taken_out; });
    if (fills + static_cast<size_t>(runs) > kFillsMax) continue;
    fills += static_cast<size_t>(runs);
    splits.push_back({memory.pid, memory.pages_id, memory.pages, std::move(pieces)});
  }
  return splits;
}

class Splitter {
 public:
  Splitter(int dir_fd, const ProcessSplit& split) : dir_fd_(dir_fd), split_(split) {}

  Status Run(std::vector<Fill>& fills) {
    const std::string pages = PagesFile(split_.pages_id);
    const std::string kept = KeptPagesFile(split_.pages_id);
    if (::renameat(dir_fd_, pages.c_str(), dir_fd_, kept.c_str()) != 0) {
      return ErrnoStatus(errno, "renameat", pages);
    }
    CRYOPOD_ASSIGN_OR_RETURN(from_, OpenBeneath(dir_fd_, kept, O_RDWR | O_NOFOLLOW));
    struct stat attributes {};
    if (::fstat(from_.get(), &attributes) != 0) return ErrnoStatus(errno, "fstat", kept);
    if (static_cast<uint64_t>(attributes.st_size) < split_.pages * PageBytes()) {
      return BrokenImage(pages, "holds fewer pages than its pagemap");
    }
    CRYOPOD_ASSIGN_OR_RETURN(
        to_, OpenBeneath(dir_fd_, pages, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    std::vector<PagemapEntry> stays;
    for (const Piece& piece : split_.pieces) {
      if (!piece.taken_out) {
        stays.push_back(piece.entry);
        CRYOPOD_RETURN_IF_ERROR(Move(piece).While(pages));
      } else {
        fills.push_back({split_.pid, split_.pages_id, piece.entry.address,
                         piece.entry.pages * PageBytes(), piece.first * PageBytes()});
      }
    }
    return WritePagemap(dir_fd_, split_.pid, split_.pages_id, stays);
  }

 private:
  // A hole is left, as far as the file system makes one: the two files together are to take no more
  // room than the one did.
  Status Move(const Piece& piece) {
    uint64_t offset = piece.first * PageBytes();
    for (uint64_t left = piece.entry.pages * PageBytes(); left > 0;) {
      buffer_.resize(static_cast<size_t>(std::min<uint64_t>(left, kCopyBytes)));
      const ssize_t got =
          ::pread(from_.get(), buffer_.data(), buffer_.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrnoStatus(errno, "pread", KeptPagesFile(split_.pages_id));
      if (got == 0) return Status(Code::kDataLoss, "a pages file became shorter");
      const auto size = static_cast<size_t>(got);
      CRYOPOD_RETURN_IF_ERROR(WriteAll(to_.get(), std::string_view(buffer_).substr(0, size)));
      (void)::fallocate(from_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        static_cast<off_t>(offset), got);
      offset += size;
      left -= size;
    }
    return Status();
  }

  int dir_fd_;
  const ProcessSplit& split_;
  UniqueFd from_;
  UniqueFd to_;
  std::string buffer_;
};

Status RefuseOwnNames(int dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> files, ListDirectory(dir_fd));
  for (const DirectoryEntry& file : files) {
    if (file.name.starts_with(kOwnFilePrefix)) {
      return BrokenImage(file.name, "a name that no image of CRIU has");
    }
  }
  return Status();
}

}  // namespace

Status SplitImages(int images_dir_fd) {
  CRYOPOD_RETURN_IF_ERROR(RefuseOwnNames(images_dir_fd));
  const Result<std::vector<ProcessSplit>> splits = Decide(images_dir_fd);
  if (!splits.ok() || splits->empty()) return Status();
  std::vector<Fill> fills;
  for (const ProcessSplit& split : *splits) {
    CRYOPOD_RETURN_IF_ERROR(Splitter(images_dir_fd, split).Run(fills));
  }
  CRYOPOD_ASSIGN_OR_RETURN(
      const UniqueFd list,
      OpenBeneath(images_dir_fd, kFillListFile, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  return WriteAll(list.get(), FormatFills(fills)).While(kFillListFile);
}

}  // namespace cryopod::criu
