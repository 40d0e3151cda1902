#include "agent/criu/images/criu_images.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <limits>
#include <string>

#include "image_bytes.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOkAnd;
using cryopod::test::StatusIs;
using test::ImageOf;
using test::kPstreeMagic;
using test::Number;
using test::Process;
using test::Regular;
using test::Remap;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint32_t kStatsMagic = 0x57093306;
constexpr uint32_t kFileLocksMagic = 0x54323616;

wire::stats_entry Stats() {
  wire::stats_entry stats;
  wire::dump_stats_entry* dump = stats.mutable_dump();
  dump->set_freezing_time(1);
  dump->set_frozen_time(2);
  dump->set_memdump_time(3);
  dump->set_memwrite_time(4);
  dump->set_pages_scanned(5);
  dump->set_pages_skipped_parent(0);
  dump->set_pages_written(6);
  return stats;
}

wire::file_lock_entry FileLock(uint32_t flag, uint32_t type, int32_t pid, int32_t fd, int64_t start,
                               int64_t length) {
  wire::file_lock_entry entry;
  entry.set_flag(flag);
  entry.set_type(type);
  entry.set_pid(pid);
  entry.set_fd(fd);
  entry.set_start(start);
  entry.set_len(length);
  return entry;
}

using RecordLocksTest = test::ImagesTest;

TEST_F(RecordLocksTest, LocksOfOtherKindsAreLeftOut) {
  Write("filelocks.img",
        ImageOf<wire::file_lock_entry>(kFileLocksMagic,
                                       {FileLock(1, 1, 17, 4, 128, 1), FileLock(2, 1, 17, 5, 0, 0),
                                        FileLock(1, 0, 18, 6, 0, 0), FileLock(4, 1, 18, 7, 0, 0)}));

  EXPECT_THAT(ReadRecordLocks(dir_.get()), IsOkAnd(ElementsAre(RecordLock{17, 4, true, 128, 1},
                                                               RecordLock{18, 6, false, 0, 0})));
}

TEST_F(RecordLocksTest, ADumpWithoutLocksNeedsNoImageOfThemButABrokenOneIsNamed) {
  EXPECT_THAT(ReadRecordLocks(dir_.get()), IsOkAnd(IsEmpty()));

  const std::string no_lock =
      ImageOf<wire::file_lock_entry>(kFileLocksMagic, {FileLock(1, 1, 0, 4, 0, 0)});
  for (const std::string& image : {no_lock, ImageOf<wire::pstree_entry>(kPstreeMagic, {})}) {
    Write("filelocks.img", image);
    EXPECT_THAT(ReadRecordLocks(dir_.get()), StatusIs(Code::kDataLoss, HasSubstr("filelocks.img")));
  }
}

class PstreeTest : public test::ImagesTest {
 protected:
  static std::string Pstree(const std::vector<wire::pstree_entry>& processes) {
    return ImageOf(kPstreeMagic, processes);
  }
  Result<std::vector<DumpedProcess>> Read(const std::string& image) const {
    Write("pstree.img", image);
    return ReadPstree(dir_.get());
  }
};

TEST_F(PstreeTest, HoldsEveryProcessWithItsParentAndThreads) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<DumpedProcess> processes,
                               Read(Pstree({Process(1, 0, {1}), Process(7, 1, {7, 8, 9})})));

  ASSERT_EQ(processes.size(), 2u);
  EXPECT_EQ(processes[0].pid, 1);
  EXPECT_EQ(processes[0].parent_pid, 0);
  EXPECT_EQ(processes[1].parent_pid, 1);
  EXPECT_THAT(processes[1].threads, ElementsAre(7, 8, 9));
}

TEST_F(PstreeTest, AZombieHasNoThreadsWhateverCriuLeftInItsEntry) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const std::vector<DumpedProcess> processes,
      Read(Pstree({Process(1, 0, {1}), Process(5, 1, {0}),
                   Process(6, 1, {std::numeric_limits<uint32_t>::max()})})));

  ASSERT_EQ(processes.size(), 3u);
  EXPECT_THAT(processes[1].threads, IsEmpty());
  EXPECT_THAT(processes[2].threads, IsEmpty());
}

TEST_F(PstreeTest, AnAbsentImageIsNotFound) {
  EXPECT_THAT(ReadPstree(dir_.get()), StatusIs(Code::kNotFound, HasSubstr("pstree.img")));
}

TEST_F(PstreeTest, WhatIsNoTreeOfProcessesIsRefusedAndNamed) {
  wire::pstree_entry incomplete;
  incomplete.set_pid(1);
  const std::pair<std::string, const char*> images[] = {
      {ImageOf<wire::stats_entry>(kStatsMagic, {Stats()}, kServiceImageMagic), "not such an image"},
      {"", "not such an image"},
      {"text that is long enough", "not such an image"},
      {Pstree({}), "holds no process"},
      {Pstree({}) + Number(0xffffffff) + "x", "cut off"},
      {Pstree({incomplete}), "does not parse"},
      {Pstree({Process(0, 0, {})}), "holds no PID"},
      {Pstree({Process(0xfffffff0, 0, {})}), "holds no PID"},
      {Pstree({Process(1, 0x80000000, {})}), "holds no PID"},
      {Pstree({Process(1, 0, {1, 0})}), "has no PID"},
  };
  for (const auto& [image, why] : images) {
    EXPECT_THAT(Read(image), StatusIs(Code::kDataLoss, HasSubstr("pstree.img: ")));
    EXPECT_THAT(Read(image).status().message(), HasSubstr(why));
  }
}

TEST_F(PstreeTest, AnImageThatIsCutAnywhereInsideAnEntryIsRefused) {
  const std::string whole = Pstree({Process(1, 0, {1}), Process(7, 1, {7})});
  const size_t first_entry_ends = Pstree({Process(1, 0, {1})}).size();

  for (size_t length = 0; length < whole.size(); ++length) {
    if (length == first_entry_ends) continue;  // a valid image of one process
    EXPECT_THAT(Read(whole.substr(0, length)), StatusIs(Code::kDataLoss)) << length;
  }
}

// files.img and, with IDs of files that CRIU carries itself, remap-fpath.img.
class FilesByPathTest : public test::ImagesTest {
 protected:
  static wire::file_entry File(uint32_t id, const std::string& name, uint32_t mode,
                               uint64_t size_bytes) {
    wire::file_entry entry = Regular(id, name);
    entry.mutable_reg()->set_mode(mode);
    entry.mutable_reg()->set_size(size_bytes);
    return entry;
  }
  Result<std::vector<FileByPath>> Read(
      const std::vector<wire::file_entry>& files,
      const std::vector<wire::remap_file_path_entry>& remaps = {}) const {
    Write("files.img", ImageOf(kFilesMagic, files));
    if (!remaps.empty()) Write("remap-fpath.img", ImageOf(kRemapMagic, remaps));
    return ReadFilesByPath(dir_.get());
  }
};

TEST_F(FilesByPathTest, RegularFilesHaveASizeAndEveryPathStandsOnce) {
  EXPECT_THAT(Read({File(1, "/b", S_IFREG | 0644, 7), File(2, "/a", S_IFDIR | 0755, 4096),
                    File(3, "/b", S_IFREG | 0644, 7)}),
              IsOkAnd(ElementsAre(FileByPath{"/a", false, 0}, FileByPath{"/b", true, 7})));
}

TEST_F(FilesByPathTest, AnEntryWithoutTypeAndIdIsRefused) {
  EXPECT_THAT(Read({File(1, "/b", S_IFREG | 0644, 7), wire::file_entry()}),
              StatusIs(Code::kDataLoss));
}

TEST_F(FilesByPathTest, WhatCriuCarriesItselfIsLeftOut) {
  EXPECT_THAT(Read({File(1, "/gone", S_IFREG | 0644, 7), File(2, "/there", S_IFREG | 0644, 8)},
                   {Remap(1, 100)}),
              IsOkAnd(ElementsAre(FileByPath{"/there", true, 8})));
}

using DumpStatsTest = test::ImagesTest;

TEST_F(DumpStatsTest, HoldsTimesAndOfARestoreThereAreNone) {
  EXPECT_THAT(ReadDumpStats(dir_.get()), StatusIs(Code::kNotFound));

  Write("stats-dump", ImageOf<wire::stats_entry>(kStatsMagic, {Stats()}, kServiceImageMagic));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const DumpStats stats, ReadDumpStats(dir_.get()));
  EXPECT_EQ(stats.freezing_us, 1u);
  EXPECT_EQ(stats.frozen_us, 2u);
  EXPECT_EQ(stats.memdump_us, 3u);
  EXPECT_EQ(stats.memwrite_us, 4u);

  Write("stats-dump",
        ImageOf<wire::stats_entry>(kStatsMagic, {wire::stats_entry()}, kServiceImageMagic));
  EXPECT_THAT(ReadDumpStats(dir_.get()), StatusIs(Code::kDataLoss));
}

}  // namespace
}  // namespace cryopod::criu
