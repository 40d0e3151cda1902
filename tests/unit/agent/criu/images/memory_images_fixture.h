#pragma once

#include <sys/mman.h>

#include <filesystem>
#include <string>
#include <vector>

#include "agent/criu/images/fill_list.h"
#include "agent/criu/images/split_images.h"
#include "image_bytes.h"

namespace cryopod::criu::test {

inline constexpr uint32_t kMmMagic = 0x57492820;
inline constexpr uint32_t kCoreMagic = 0x55053847;
inline constexpr uint32_t kPagemapMagic = 0x56084025;
inline constexpr uint32_t kPresent = 4;
inline constexpr uint32_t kAnonymous = (1u << 0) | (1u << 9);  // VMA_AREA_REGULAR, VMA_ANON_PRIVATE
inline constexpr uint32_t kOfFile = (1u << 0) | (1u << 6);     // VMA_AREA_REGULAR, VMA_FILE_PRIVATE
inline constexpr uint32_t kPlainFlags = MAP_PRIVATE | MAP_ANONYMOUS;
inline constexpr uint32_t kReadWrite = PROT_READ | PROT_WRITE;

// Addresses and sizes are in pages.
struct Area {
  uint64_t first = 0;
  uint64_t pages = 0;
  uint32_t status = kAnonymous;
  uint32_t flags = kPlainFlags;
  uint32_t protection = kReadWrite;
};

struct PageRun {
  uint64_t first = 0;
  uint64_t pages = 0;
  uint32_t flags = kPresent;

  bool operator==(const PageRun&) const = default;
};

// A directory of CRIU images of processes with memory, as CRIU writes them; page number N of an
// address space is full of marks of N.
class MemoryImagesTest : public ImagesTest {
 protected:
  // The next entry of pstree.img, and its images.
  void AddProcess(uint32_t pid, uint32_t parent, const std::vector<Area>& areas,
                  const std::vector<PageRun>& runs, uint64_t rseq = 0) {
    tree_.push_back(Process(pid, parent, {pid}));
    Write("pstree.img", ImageOf(kPstreeMagic, tree_));
    WriteAreas(pid, areas);
    WritePagemap(pid, pid, runs);
    WriteCore(pid, rseq);
    Write("pages-" + std::to_string(pid) + ".img", Pages(runs));
  }

  void WriteAreas(uint32_t pid, const std::vector<Area>& areas) {
    wire::mm_entry memory;
    for (const Area& area : areas) {
      wire::vma_entry* entry = memory.add_vmas();
      entry->set_start(area.first * PageBytes());
      entry->set_end((area.first + area.pages) * PageBytes());
      entry->set_prot(area.protection);
      entry->set_flags(area.flags);
      entry->set_status(area.status);
    }
    Write("mm-" + std::to_string(pid) + ".img", ImageOf<wire::mm_entry>(kMmMagic, {memory}));
  }

  void WritePagemap(uint32_t pid, uint32_t pages_id, const std::vector<PageRun>& runs) {
    Write("pagemap-" + std::to_string(pid) + ".img", Pagemap(pages_id, runs));
  }

  static std::string Pagemap(uint32_t pages_id, const std::vector<PageRun>& runs) {
    wire::pagemap_head head;
    head.set_pages_id(pages_id);
    std::string bytes = ImageOf<wire::pagemap_head>(kPagemapMagic, {head});
    for (const PageRun& run : runs) {
      wire::pagemap_entry entry;
      entry.set_vaddr(run.first * PageBytes());
      entry.set_compat_nr_pages(static_cast<uint32_t>(run.pages));
      entry.set_nr_pages(run.pages);
      entry.set_flags(run.flags);
      bytes += Entry(entry);
    }
    return bytes;
  }

  void WriteCore(uint32_t thread, uint64_t rseq) {
    wire::core_entry core;
    wire::rseq_entry* entry = core.mutable_thread_core()->mutable_rseq_entry();
    entry->set_rseq_abi_pointer(rseq);
    entry->set_rseq_abi_size(32);
    Write("core-" + std::to_string(thread) + ".img", ImageOf<wire::core_entry>(kCoreMagic, {core}));
  }

  static std::string Pages(const std::vector<PageRun>& runs) {
    std::string bytes;
    for (const PageRun& run : runs) {
      for (uint64_t page = run.first; page < run.first + run.pages; ++page) bytes += Page(page);
    }
    return bytes;
  }
  static std::string Page(uint64_t number) {
    std::string page;
    while (page.size() < PageBytes()) page += std::to_string(number) + ",";
    page.resize(PageBytes());
    return page;
  }

  Status Split() const { return SplitImages(dir_.get()); }

  bool Exists(const std::string& name) const {
    return std::filesystem::exists(temp_.path() / name);
  }
  std::vector<Fill> Fills() const { return ParseFills(Text(kFillListFile)).value(); }
  // What CRIU would still restore, and where from.
  std::vector<PageRun> Pagemap(uint32_t pid) const {
    const std::string name = "pagemap-" + std::to_string(pid) + ".img";
    EntryReader reader = EntryReader::Open(dir_.get(), name, kPagemapMagic).value();
    wire::pagemap_head head;
    EXPECT_THAT(reader.Next(&head), cryopod::test::IsOk());
    EXPECT_EQ(head.pages_id(), pid);
    std::vector<PageRun> runs;
    while (!reader.AtEnd()) {
      wire::pagemap_entry entry;
      EXPECT_THAT(reader.Next(&entry), cryopod::test::IsOk());
      runs.push_back({entry.vaddr() / PageBytes(), entry.nr_pages(), entry.flags()});
    }
    return runs;
  }
  // Every byte of the fills, from where the list says that it lies.
  std::string Filled() const {
    std::string bytes;
    for (const Fill& fill : Fills()) {
      bytes += Text(KeptPagesFile(fill.pages_id)).substr(fill.offset, fill.bytes);
    }
    return bytes;
  }

 private:
  std::vector<wire::pstree_entry> tree_;
};

}  // namespace cryopod::criu::test
