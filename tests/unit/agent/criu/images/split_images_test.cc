#include "agent/criu/images/split_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "memory_images_fixture.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using test::Area;
using test::kAnonymous;
using test::kOfFile;
using test::kPlainFlags;
using test::PageRun;
using ::testing::ElementsAre;
using ::testing::SizeIs;

// In pages; one process has 16 MiB of anonymous memory at kHeap, and some of a file below it.
constexpr uint64_t kCode = 16;
constexpr uint64_t kHeap = 4096;
constexpr uint64_t kHeapPages = 4096;

class SplitImagesTest : public test::MemoryImagesTest {
 protected:
  static std::vector<Area> CodeAnd(const Area& heap) {
    return {{kCode, 8, kOfFile, MAP_PRIVATE, PROT_READ}, heap};
  }
  void AddUsual(const Area& heap = {kHeap, kHeapPages}) {
    AddProcess(1, 0, CodeAnd(heap), {{kCode, 4}, {kHeap, 1024}});
  }
  Fill FillOf(uint32_t pid, uint64_t first, uint64_t pages, uint64_t first_in_file) const {
    return {static_cast<pid_t>(pid), pid, first * PageBytes(), pages * PageBytes(),
            first_in_file * PageBytes()};
  }
  void ExpectLeftAlone(uint32_t pid) {
    const std::string pages = Text("pages-" + std::to_string(pid) + ".img");
    const std::vector<PageRun> runs = Pagemap(pid);
    EXPECT_THAT(Split(), IsOk());
    EXPECT_EQ(Text("pages-" + std::to_string(pid) + ".img"), pages);
    EXPECT_EQ(Pagemap(pid), runs);
    EXPECT_FALSE(Exists(KeptPagesFile(pid)));
  }
};

TEST_F(SplitImagesTest, BigAnonymousMemoryIsTakenOutAndTheRestMovesTogether) {
  AddProcess(1, 0, CodeAnd({kHeap, kHeapPages}), {{kCode, 4}, {kHeap, 1024}, {kHeap + 2000, 3}});

  ASSERT_THAT(Split(), IsOk());

  EXPECT_THAT(Fills(), ElementsAre(FillOf(1, kHeap, 1024, 4)));
  EXPECT_EQ(Filled(), Pages({{kHeap, 1024}}));
  EXPECT_THAT(Pagemap(1), ElementsAre(PageRun{kCode, 4}, PageRun{kHeap + 2000, 3}));
  EXPECT_EQ(Text("pages-1.img"), Pages({{kCode, 4}, {kHeap + 2000, 3}}));
}

TEST_F(SplitImagesTest, TheFilesTakeNoMoreRoomThanBefore) {
  AddProcess(1, 0, {{kCode, 8, kOfFile, MAP_PRIVATE}, {kHeap, kHeapPages}},
             {{kCode, 8}, {kHeap, 512}, {kHeap + 600, 1}});
  // The greater part of what stays lies in front.
  ASSERT_THAT(Split(), IsOk());

  struct stat kept {};
  ASSERT_EQ(::stat((temp_.path() / KeptPagesFile(1)).c_str(), &kept), 0);
  EXPECT_EQ(kept.st_mode & 0777u, 0600u);
  EXPECT_EQ(static_cast<uint64_t>(kept.st_size), 521 * PageBytes());
  EXPECT_LE(static_cast<uint64_t>(kept.st_blocks) * 512, 512 * PageBytes());
}

TEST_F(SplitImagesTest, AnEntryAcrossAreasIsCutAtTheirBorders) {
  AddProcess(1, 0,
             {{kHeap, 300},
              {kHeap + 300, 100, kAnonymous, kPlainFlags, PROT_READ},
              {kHeap + 400, 200, kAnonymous | (1u << 5)},
              {kHeap + 600, 50, kAnonymous, kPlainFlags | MAP_GROWSDOWN}},
             {{kHeap, 650}});

  ASSERT_THAT(Split(), IsOk());

  EXPECT_THAT(Fills(), ElementsAre(FillOf(1, kHeap, 300, 0), FillOf(1, kHeap + 400, 200, 400)));
  EXPECT_THAT(Pagemap(1), ElementsAre(PageRun{kHeap + 300, 100}, PageRun{kHeap + 600, 50}));
  EXPECT_EQ(Text("pages-1.img"), Pages({{kHeap + 300, 100}, {kHeap + 600, 50}}));
  EXPECT_EQ(Filled(), Pages({{kHeap, 300}, {kHeap + 400, 200}}));
}

TEST_F(SplitImagesTest, NeighboursThatStayAreOneEntryAndFlagsStayToo) {
  AddProcess(1, 0,
             {{kHeap, 10, kOfFile, MAP_PRIVATE},
              {kHeap + 10, 10, kOfFile, MAP_PRIVATE},
              {kHeap + 20, 400}},
             {{kHeap, 420, test::kPresent | 2}});

  ASSERT_THAT(Split(), IsOk());

  EXPECT_THAT(Pagemap(1), ElementsAre(PageRun{kHeap, 20, test::kPresent | 2}));
}

TEST_F(SplitImagesTest, ShortRunsStay) {
  std::vector<PageRun> runs = {{kHeap, 1024}};
  for (uint64_t i = 0; i < 20; ++i) runs.push_back({kHeap + 2000 + i * 20, kRunPagesMin - 1});
  runs.push_back({kHeap + 3000, kRunPagesMin});
  AddProcess(1, 0, {{kHeap, kHeapPages}}, runs);

  ASSERT_THAT(Split(), IsOk());

  EXPECT_THAT(Fills(), SizeIs(2));
  EXPECT_THAT(Pagemap(1), SizeIs(20));
}

TEST_F(SplitImagesTest, AProcessWhereItIsNotWorthItOrThatWouldKeepNoEntryIsLeftAlone) {
  const uint64_t little = kProcessBytesMin / PageBytes() - 1;
  AddProcess(1, 0, CodeAnd({kHeap, kHeapPages}), {{kCode, 4}, {kHeap, little}});
  ExpectLeftAlone(1);
  // Most would have to be copied.
  AddProcess(2, 0, {{kCode, 2000, kOfFile, MAP_PRIVATE}, {kHeap, kHeapPages}},
             {{kCode, 1025}, {kHeap, 1024}});
  ExpectLeftAlone(2);
  AddProcess(3, 0, {{kHeap, kHeapPages}}, {{kHeap, 1024}});
  ExpectLeftAlone(3);
}

TEST_F(SplitImagesTest, SpecialAreasAreLeftAlone) {
  const std::vector<Area> special = {
      {kHeap, kHeapPages, kAnonymous | (1u << 1)},   // stack
      {kHeap, kHeapPages, kAnonymous | (1u << 3)},   // vdso
      {kHeap, kHeapPages, kAnonymous | (1u << 12)},  // vvar
      {kHeap, kHeapPages, (1u << 0) | (1u << 13)},   // AIO ring
      {kHeap, kHeapPages, 1u << 15},                 // shadow stack
      {kHeap, kHeapPages, kAnonymous | (1u << 27)},  // a plugin's
      {kHeap, kHeapPages, (1u << 0) | (1u << 8), MAP_SHARED | MAP_ANONYMOUS},
      {kHeap, kHeapPages, kOfFile, MAP_PRIVATE},
      {kHeap, kHeapPages, kAnonymous, kPlainFlags | MAP_HUGETLB},
      {kHeap, kHeapPages, kAnonymous, kPlainFlags | MAP_LOCKED},
      {kHeap, kHeapPages, kAnonymous, kPlainFlags | MAP_GROWSDOWN},
      {kHeap, kHeapPages, kAnonymous, kPlainFlags, PROT_READ},
      {kHeap, kHeapPages, kAnonymous, kPlainFlags, PROT_NONE},
  };
  for (uint32_t i = 0; i < special.size(); ++i) {
    AddProcess(10 + i, 0, CodeAnd(special[i]), {{kCode, 4}, {kHeap, 1024}});
  }

  ASSERT_THAT(Split(), IsOk());

  EXPECT_FALSE(Exists(kFillListFile));
}

TEST_F(SplitImagesTest, MarksOfGuardsAmongTheAreasAreNoAreas) {
  AddProcess(1, 0,
             {{kCode, 8, kOfFile, MAP_PRIVATE}, {kHeap, kHeapPages}, {kHeap + 10, 1, 1u << 16, 0}},
             {{kCode, 4}, {kHeap + 11, 1024}});

  ASSERT_THAT(Split(), IsOk());

  EXPECT_THAT(Fills(), ElementsAre(FillOf(1, kHeap + 11, 1024, 4)));
}

TEST_F(SplitImagesTest, PagesThatTheKernelWritesToStay) {
  const uint64_t rseq = (kHeap + 100) * PageBytes() + 64;
  AddProcess(1, 0, CodeAnd({kHeap, kHeapPages}), {{kCode, 4}, {kHeap, 1024}}, rseq);

  ASSERT_THAT(Split(), IsOk());

  EXPECT_THAT(Fills(), ElementsAre(FillOf(1, kHeap, 100, 4), FillOf(1, kHeap + 101, 923, 105)));
  EXPECT_THAT(Pagemap(1), ElementsAre(PageRun{kCode, 4}, PageRun{kHeap + 100, 1}));
}

TEST_F(SplitImagesTest, WhatParentAndChildHaveAtTheSamePlaceIsLeftToCriu) {
  AddProcess(1, 0, {{kCode, 8, kOfFile, MAP_PRIVATE}, {kHeap, kHeapPages}, {9000, 2000}},
             {{kCode, 4}, {kHeap, 512}, {9000, 1000}});
  AddProcess(2, 1, {{kCode, 8, kOfFile, MAP_PRIVATE}, {kHeap, kHeapPages}, {9000, 1999}},
             {{kCode, 4}, {kHeap, 512}, {9000, 1000}});
  // A grandchild has nothing to do with the first.
  AddProcess(3, 2, {{kCode, 8, kOfFile, MAP_PRIVATE}, {9000, 2000}}, {{kCode, 4}, {9000, 1000}});

  ASSERT_THAT(Split(), IsOk());

  EXPECT_THAT(Fills(), ElementsAre(FillOf(1, 9000, 1000, 516), FillOf(2, 9000, 1000, 516),
                                   FillOf(3, 9000, 1000, 4)));
  EXPECT_THAT(Pagemap(2), ElementsAre(PageRun{kCode, 4}, PageRun{kHeap, 512}));
}

TEST_F(SplitImagesTest, AnEntryOfOlderCriuKeepsItsForm) {
  AddUsual();
  wire::pagemap_head head;
  head.set_pages_id(1);
  std::string image = test::ImageOf<wire::pagemap_head>(test::kPagemapMagic, {head});
  for (const PageRun& run : {PageRun{kCode, 4}, PageRun{kHeap, 1024}}) {
    wire::pagemap_entry entry;
    entry.set_vaddr(run.first * PageBytes());
    entry.set_compat_nr_pages(static_cast<uint32_t>(run.pages));
    image += test::Entry(entry);
  }
  Write("pagemap-1.img", image);

  ASSERT_THAT(Split(), IsOk());

  wire::pagemap_entry stays;
  stays.set_vaddr(kCode * PageBytes());
  stays.set_compat_nr_pages(4);
  EXPECT_THAT(Text("pagemap-1.img"), ::testing::EndsWith(test::Entry(stays)));
  EXPECT_THAT(Fills(), SizeIs(1));
}

TEST_F(SplitImagesTest, AZombieHasNoMemory) {
  AddUsual();
  Write("pstree.img",
        test::ImageOf<wire::pstree_entry>(test::kPstreeMagic,
                                          {test::Process(1, 0, {1}), test::Process(7, 0, {0})}));

  ASSERT_THAT(Split(), IsOk());

  EXPECT_THAT(Fills(), SizeIs(1));
}

}  // namespace
}  // namespace cryopod::criu
