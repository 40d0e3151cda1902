#include "agent/criu/images/criu_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <limits>
#include <string>

#include "agent/criu/proto/images.pb.h"
#include "agent/os/file.h"
#include "image_bytes.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using test::Entry;
using test::kImageMagic;
using test::kPstreeMagic;
using test::kServiceMagic;
using test::kStatsMagic;
using test::Number;

wire::pstree_entry Process(uint32_t pid, uint32_t parent, std::vector<uint32_t> threads) {
  wire::pstree_entry entry;
  entry.set_pid(pid);
  entry.set_ppid(parent);
  entry.set_pgid(pid);
  entry.set_sid(1);
  for (const uint32_t thread : threads) entry.add_threads(thread);
  return entry;
}

std::string Pstree(const std::vector<wire::pstree_entry>& processes) {
  std::string image = Number(kImageMagic) + Number(kPstreeMagic);
  for (const wire::pstree_entry& process : processes) image += Entry(process);
  return image;
}

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

std::string FileLock(uint32_t flag, uint32_t type, int32_t pid, int32_t fd, int64_t start,
                     int64_t length) {
  wire::file_lock_entry entry;
  entry.set_flag(flag);
  entry.set_type(type);
  entry.set_pid(pid);
  entry.set_fd(fd);
  entry.set_start(start);
  entry.set_len(length);
  return Entry(entry);
}

TEST(RecordLocksTest, LocksOfOtherKindsAreLeftOut) {
  const std::string head = Number(kImageMagic) + Number(test::kFileLocksMagic);
  const std::string image = head + FileLock(1, 1, 17, 4, 128, 1) + FileLock(2, 1, 17, 5, 0, 0) +
                            FileLock(1, 0, 18, 6, 0, 0) + FileLock(4, 1, 18, 7, 0, 0);

  const Result<std::vector<RecordLock>> locks = ParseRecordLocks(image);

  ASSERT_THAT(locks.status(), IsOk());
  EXPECT_THAT(*locks, ElementsAre(RecordLock{17, 4, true, 128, 1}, RecordLock{18, 6, false, 0, 0}));
  EXPECT_THAT(ParseRecordLocks(head + FileLock(1, 1, 0, 4, 0, 0)),
              StatusIs(Code::kDataLoss, HasSubstr("filelocks.img")));
  EXPECT_THAT(ParseRecordLocks(Pstree({})), StatusIs(Code::kDataLoss, HasSubstr("filelocks.img")));
}

TEST(RecordLocksTest, ADumpWithoutLocksNeedsNoImageOfThem) {
  cryopod::test::TempDirectory images;
  const Result<UniqueFd> dir = OpenDirectory(images.path().string());
  ASSERT_THAT(dir.status(), IsOk());

  const Result<std::vector<RecordLock>> locks = ReadRecordLocks(dir->get());

  ASSERT_THAT(locks.status(), IsOk());
  EXPECT_TRUE(locks->empty());
}

TEST(PstreeTest, HoldsEveryProcessWithItsParentAndThreads) {
  const std::string image = Pstree({Process(1, 0, {1}), Process(7, 1, {7, 8, 9})});

  const Result<std::vector<DumpedProcess>> processes = ParsePstree(image);

  ASSERT_THAT(processes, IsOk());
  ASSERT_EQ(processes->size(), 2u);
  EXPECT_EQ(processes->at(0).pid, 1);
  EXPECT_EQ(processes->at(0).parent_pid, 0);
  EXPECT_EQ(processes->at(1).parent_pid, 1);
  EXPECT_THAT(processes->at(1).threads, ElementsAre(7, 8, 9));
}

TEST(PstreeTest, AZombieHasNoThreadsWhateverCriuLeftInItsEntry) {
  const std::string image = Pstree({Process(1, 0, {1}), Process(5, 1, {0}),
                                    Process(6, 1, {std::numeric_limits<uint32_t>::max()})});

  const Result<std::vector<DumpedProcess>> processes = ParsePstree(image);

  ASSERT_THAT(processes, IsOk());
  ASSERT_EQ(processes->size(), 3u);
  EXPECT_THAT(processes->at(1).threads, ::testing::IsEmpty());
  EXPECT_THAT(processes->at(2).threads, ::testing::IsEmpty());
}

TEST(PstreeTest, IsReadFromTheDirectoryOfTheImages) {
  const cryopod::test::TempDirectory images;
  cryopod::test::WriteText(images.path() / "pstree.img", Pstree({Process(1, 0, {1})}));
  const Result<UniqueFd> dir = OpenDirectory(images.path());
  ASSERT_THAT(dir, IsOk());

  EXPECT_THAT(ReadPstree(dir->get()), IsOk());
}

TEST(PstreeTest, AnAbsentImageIsNotFound) {
  const cryopod::test::TempDirectory images;
  const Result<UniqueFd> dir = OpenDirectory(images.path());
  ASSERT_THAT(dir, IsOk());

  EXPECT_THAT(ReadPstree(dir->get()), StatusIs(Code::kNotFound, HasSubstr("pstree.img")));
}

TEST(PstreeTest, AnImageOfAnotherKindIsRefused) {
  const std::string stats = Number(kServiceMagic) + Number(kStatsMagic) + Entry(Stats());

  EXPECT_THAT(ParsePstree(stats), StatusIs(Code::kDataLoss, HasSubstr("pstree.img")));
  EXPECT_THAT(ParsePstree(""), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParsePstree("text that is long enough"), StatusIs(Code::kDataLoss));
}

TEST(PstreeTest, AnImageWithoutAProcessIsRefused) {
  EXPECT_THAT(ParsePstree(Pstree({})), StatusIs(Code::kDataLoss));
}

TEST(PstreeTest, AnImageThatIsCutAnywhereInsideAnEntryIsRefused) {
  const std::string whole = Pstree({Process(1, 0, {1}), Process(7, 1, {7})});
  const size_t first_entry_ends = Pstree({Process(1, 0, {1})}).size();

  for (size_t length = 0; length < whole.size(); ++length) {
    if (length == first_entry_ends) continue;  // a valid image of one process
    EXPECT_THAT(ParsePstree(whole.substr(0, length)), StatusIs(Code::kDataLoss)) << length;
  }
}

TEST(PstreeTest, ALengthBeyondTheImageIsRefused) {
  const std::string image = Number(kImageMagic) + Number(kPstreeMagic) + Number(0xffffffff) + "x";

  EXPECT_THAT(ParsePstree(image), StatusIs(Code::kDataLoss, HasSubstr("cut off")));
}

TEST(PstreeTest, AnEntryWithoutARequiredFieldIsRefused) {
  wire::pstree_entry entry;
  entry.set_pid(1);

  EXPECT_THAT(ParsePstree(Pstree({entry})), StatusIs(Code::kDataLoss, HasSubstr("parse")));
}

TEST(PstreeTest, NumbersThatAreNoPidsAreRefused) {
  EXPECT_THAT(ParsePstree(Pstree({Process(0, 0, {})})), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParsePstree(Pstree({Process(0xfffffff0, 0, {})})), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParsePstree(Pstree({Process(1, 0x80000000, {})})), StatusIs(Code::kDataLoss));
  EXPECT_THAT(ParsePstree(Pstree({Process(1, 0, {1, 0})})), StatusIs(Code::kDataLoss));
}

// files.img and, with IDs of files that CRIU carries itself, remap-fpath.img.
class FilesByPathTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kFilesMagic = 0x56303138;
  static constexpr uint32_t kRemapMagic = 0x59133954;

  static wire::file_entry File(uint32_t id, const std::string& name, uint32_t mode,
                               uint64_t size_bytes) {
    wire::file_entry entry;
    entry.set_type(1);
    entry.set_id(id);
    wire::reg_file_entry* file = entry.mutable_reg();
    file->set_id(id);
    file->set_flags(0);
    file->set_pos(0);
    file->set_name(name);
    file->set_mode(mode);
    file->set_size(size_bytes);
    return entry;
  }
  static wire::remap_file_path_entry Remap(uint32_t id) {
    wire::remap_file_path_entry entry;
    entry.set_orig_id(id);
    entry.set_remap_id(100);
    return entry;
  }
  Result<std::vector<FileByPath>> Read(const std::string& files, const std::string& remaps = "") {
    cryopod::test::WriteText(images_.path() / "files.img",
                             Number(kImageMagic) + Number(kFilesMagic) + files);
    if (!remaps.empty()) {
      cryopod::test::WriteText(images_.path() / "remap-fpath.img",
                               Number(kImageMagic) + Number(kRemapMagic) + remaps);
    }
    return ReadFilesByPath(OpenDirectory(images_.path()).value().get());
  }

  const cryopod::test::TempDirectory images_;
};

TEST_F(FilesByPathTest, RegularFilesHaveASizeAndEveryPathStandsOnce) {
  EXPECT_THAT(
      Read(Entry(File(1, "/b", S_IFREG | 0644, 7)) + Entry(File(2, "/a", S_IFDIR | 0755, 4096)) +
           Entry(File(3, "/b", S_IFREG | 0644, 7))),
      cryopod::test::IsOkAnd(ElementsAre(FileByPath{"/a", false, 0}, FileByPath{"/b", true, 7})));
}

TEST_F(FilesByPathTest, AnEntryWithoutTypeAndIdIsRefused) {
  EXPECT_THAT(Read(Entry(File(1, "/b", S_IFREG | 0644, 7)) + Entry(wire::file_entry())),
              StatusIs(Code::kDataLoss));
}

TEST_F(FilesByPathTest, WhatCriuCarriesItselfIsLeftOut) {
  EXPECT_THAT(
      Read(Entry(File(1, "/gone", S_IFREG | 0644, 7)) + Entry(File(2, "/there", S_IFREG | 0644, 8)),
           Entry(Remap(1))),
      cryopod::test::IsOkAnd(ElementsAre(FileByPath{"/there", true, 8})));
}

TEST(DumpStatsTest, HoldsTimesAndPages) {
  const std::string image = Number(kServiceMagic) + Number(kStatsMagic) + Entry(Stats());

  const Result<DumpStats> stats = ParseDumpStats(image);

  ASSERT_THAT(stats, IsOk());
  EXPECT_EQ(stats->freezing_us, 1u);
  EXPECT_EQ(stats->frozen_us, 2u);
  EXPECT_EQ(stats->memdump_us, 3u);
  EXPECT_EQ(stats->memwrite_us, 4u);
  EXPECT_EQ(stats->pages_scanned, 5u);
  EXPECT_EQ(stats->pages_written, 6u);
}

TEST(DumpStatsTest, StatisticsOfARestoreAreRefused) {
  const std::string image =
      Number(kServiceMagic) + Number(kStatsMagic) + Entry(wire::stats_entry());

  EXPECT_THAT(ParseDumpStats(image), StatusIs(Code::kDataLoss));
}

TEST(DumpStatsTest, AnAbsentFileIsNotFound) {
  const cryopod::test::TempDirectory work;
  const Result<UniqueFd> dir = OpenDirectory(work.path());
  ASSERT_THAT(dir, IsOk());

  EXPECT_THAT(ReadDumpStats(dir->get()), StatusIs(Code::kNotFound));
}

}  // namespace
}  // namespace cryopod::criu
