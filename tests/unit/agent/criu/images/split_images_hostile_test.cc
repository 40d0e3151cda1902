// Images that are damaged, or made to do harm.
#include <gmock/gmock.h>

#include <random>

#include "memory_images_fixture.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using test::Area;
using test::kOfFile;
using test::PageRun;
using ::testing::HasSubstr;

constexpr uint64_t kCode = 16;
constexpr uint64_t kHeap = 4096;
constexpr uint64_t kPages = 300;

class SplitHostileImagesTest : public test::MemoryImagesTest {
 protected:
  SplitHostileImagesTest() {
    AddProcess(1, 0, {{kCode, 8, kOfFile, MAP_PRIVATE}, {kHeap, 4096}},
               {{kCode, 4}, {kHeap, kPages}});
  }
  void ExpectLeftAlone() {
    const std::string pages = Text("pages-1.img");
    const std::string pagemap = Text("pagemap-1.img");
    EXPECT_THAT(Split(), IsOk());
    EXPECT_EQ(Text("pages-1.img"), pages);
    EXPECT_EQ(Text("pagemap-1.img"), pagemap);
    EXPECT_FALSE(Exists(kFillListFile));
    EXPECT_FALSE(Exists(KeptPagesFile(1)));
  }
};

TEST_F(SplitHostileImagesTest, ADirectoryWithoutAProcessTreeIsLeftAlone) {
  std::filesystem::remove(temp_.path() / "pstree.img");
  ExpectLeftAlone();
}

TEST_F(SplitHostileImagesTest, ImagesThatDoNotParseAreLeftToCriu) {
  for (const char* name : {"pstree.img", "mm-1.img", "pagemap-1.img", "core-1.img"}) {
    const std::string whole = Text(name);
    for (const std::string& bytes :
         {std::string(), std::string("text"), whole.substr(0, whole.size() - 1),
          std::string("x") + whole.substr(1)}) {
      Write(name, bytes);
      ExpectLeftAlone();
    }
    Write(name, whole);
  }
}

TEST_F(SplitHostileImagesTest, AnyByteMayBeWrong) {
  std::mt19937 random(7);
  const std::string pages = Text("pages-1.img");
  for (const char* name : {"pstree.img", "mm-1.img", "pagemap-1.img", "core-1.img"}) {
    const std::string whole = Text(name);
    for (int round = 0; round < 50; ++round) {
      std::string bytes = whole;
      bytes[random() % bytes.size()] = static_cast<char>(random());
      Write(name, bytes);
      // Whatever comes of it, it is an answer.
      const bool split = Split().ok() && Exists(kFillListFile);
      EXPECT_TRUE(!split || !Fills().empty());
      for (const char* own : {kFillListFile, "cryopod-pages-1"}) {
        std::filesystem::remove(temp_.path() / own);
      }
      Write("pages-1.img", pages);
      Write("pagemap-1.img", Pagemap(1, {{kCode, 4}, {kHeap, kPages}}));
    }
    Write(name, whole);
  }
}

TEST_F(SplitHostileImagesTest, ANameThatIsOursIsRefused) {
  for (const char* name : {kFillListFile, "cryopod-pages-1", "cryopod-x"}) {
    Write(name, "1 1 4096 4096 0\n");
    EXPECT_THAT(Split(), StatusIs(Code::kDataLoss, HasSubstr(name)));
    EXPECT_TRUE(Exists("pages-1.img"));
    std::filesystem::remove(temp_.path() / name);
  }
}

TEST_F(SplitHostileImagesTest, FewerPagesThanThePagemapSaysAreRefused) {
  std::filesystem::resize_file(temp_.path() / "pages-1.img", (kPages + 3) * PageBytes());

  EXPECT_THAT(Split(), StatusIs(Code::kDataLoss, HasSubstr("fewer pages")));
}

TEST_F(SplitHostileImagesTest, PagesOfAParentOrOfNoKnownKindAreLeftToCriu) {
  for (const uint32_t flags : {1u, 2u, 0u, 5u}) {
    WritePagemap(1, 1, {{kCode, 4}, {kHeap, kPages}, {kHeap + 2000, 20, flags}});
    ExpectLeftAlone();
  }
}

TEST_F(SplitHostileImagesTest, PagesOutsideEveryAreaAreLeftToCriu) {
  for (const PageRun& run :
       {PageRun{kHeap - 1, 10}, PageRun{kHeap + 4000, 97}, PageRun{uint64_t{1} << 35, 20},
        PageRun{(~uint64_t{0} / PageBytes()) - 10, uint64_t{1} << 34}, PageRun{kHeap + 2000, 0},
        PageRun{kHeap + 2000, ~uint64_t{0}}, PageRun{kHeap + 2000, uint64_t{1} << 40}}) {
    WritePagemap(1, 1, {{kCode, 4}, {kHeap, kPages}, run});
    ExpectLeftAlone();
  }
}

TEST_F(SplitHostileImagesTest, AreasThatCannotBeAreLeftToCriu) {
  const std::vector<std::vector<Area>> wrong = {
      {{kHeap, 4096}, {kCode, 8}},                        // out of order
      {{kCode, 8}, {kHeap, 4096}, {kHeap + 4000, 4096}},  // one in another
      {{kCode, 8}, {kHeap, 4096}, {kHeap + 5000, 0}},     // empty
  };
  for (const std::vector<Area>& areas : wrong) {
    WriteAreas(1, areas);
    ExpectLeftAlone();
  }
}

TEST_F(SplitHostileImagesTest, APagesFileThatTwoProcessesNameAndAProcessTwiceAreLeftToCriu) {
  Write("pagemap-shmem-5.img", Pagemap(1, {}));
  ExpectLeftAlone();
  std::filesystem::remove(temp_.path() / "pagemap-shmem-5.img");
  AddProcess(1, 0, {{kCode, 8, kOfFile, MAP_PRIVATE}, {kHeap, 4096}},
             {{kCode, 4}, {kHeap, kPages}});
  ExpectLeftAlone();
}

TEST_F(SplitHostileImagesTest, ALinkInPlaceOfAnImageLeadsNowhere) {
  cryopod::test::TempDirectory elsewhere;
  std::filesystem::rename(temp_.path() / "pages-1.img", elsewhere.path() / "pages");
  std::filesystem::create_symlink(elsewhere.path() / "pages", temp_.path() / "pages-1.img");
  const std::string before = cryopod::test::ReadText(elsewhere.path() / "pages");

  EXPECT_FALSE(Split().ok());

  EXPECT_EQ(cryopod::test::ReadText(elsewhere.path() / "pages"), before);
}

}  // namespace
}  // namespace cryopod::criu
