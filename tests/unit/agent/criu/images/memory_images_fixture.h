#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <filesystem>
#include <string>
#include <vector>

#include "agent/criu/images/entry_reader.h"
#include "agent/criu/images/fill_list.h"
#include "agent/criu/images/split_images.h"
#include "agent/criu/proto/images.pb.h"
#include "agent/os/file.h"
#include "image_bytes.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::criu::test {

inline constexpr uint32_t kMmMagic = 0x57492820;
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
class MemoryImagesTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& bytes) {
    cryopod::test::WriteText(temp_.path() / name, bytes);
    std::filesystem::permissions(temp_.path() / name, std::filesystem::perms::owner_read |
                                                          std::filesystem::perms::owner_write);
  }

  // The next entry of pstree.img, and its images.
  void AddProcess(uint32_t pid, uint32_t parent, const std::vector<Area>& areas,
                  const std::vector<PageRun>& runs, uint64_t rseq = 0) {
    wire::pstree_entry process;
    process.set_pid(pid);
    process.set_ppid(parent);
    process.set_pgid(pid);
    process.set_sid(pid);
    process.add_threads(pid);
    tree_ += Entry(process);
    Write("pstree.img", Number(kImageMagic) + Number(kPstreeMagic) + tree_);
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
    Write("mm-" + std::to_string(pid) + ".img",
          Number(kImageMagic) + Number(kMmMagic) + Entry(memory));
  }

  void WritePagemap(uint32_t pid, uint32_t pages_id, const std::vector<PageRun>& runs) {
    Write("pagemap-" + std::to_string(pid) + ".img", Pagemap(pages_id, runs));
  }

  static std::string Pagemap(uint32_t pages_id, const std::vector<PageRun>& runs) {
    wire::pagemap_head head;
    head.set_pages_id(pages_id);
    std::string bytes = Number(kImageMagic) + Number(kPagemapMagic) + Entry(head);
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
    Write("core-" + std::to_string(thread) + ".img",
          Number(kImageMagic) + Number(kCoreMagic) + Entry(core));
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

  Status Split() {
    Result<UniqueFd> dir = OpenDirectory(temp_.path());
    return dir.ok() ? SplitImages(dir->get()) : dir.status();
  }

  bool Exists(const std::string& name) const {
    return std::filesystem::exists(temp_.path() / name);
  }
  std::string Text(const std::string& name) const {
    return cryopod::test::ReadText(temp_.path() / name);
  }
  std::vector<Fill> Fills() const {
    Result<std::vector<Fill>> fills = ParseFills(Text(kFillListFile));
    EXPECT_THAT(fills, cryopod::test::IsOk());
    return fills.ok() ? std::move(*fills) : std::vector<Fill>();
  }
  // What CRIU would still restore, and where from.
  std::vector<PageRun> Pagemap(uint32_t pid) const {
    const std::string name = "pagemap-" + std::to_string(pid) + ".img";
    const std::string bytes = Text(name);
    std::vector<PageRun> runs;
    Result<EntryReader> reader = EntryReader::Open(bytes, name, kCommonImageMagic, kPagemapMagic);
    EXPECT_THAT(reader, cryopod::test::IsOk());
    wire::pagemap_head head;
    if (!reader.ok() || !reader->Next(&head).ok()) return runs;
    EXPECT_EQ(head.pages_id(), pid);
    while (!reader->AtEnd()) {
      wire::pagemap_entry entry;
      EXPECT_THAT(reader->Next(&entry), cryopod::test::IsOk());
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

  cryopod::test::TempDirectory temp_;

 private:
  std::string tree_;
};

}  // namespace cryopod::criu::test
