#include "restore/rootfs/rootfs_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <utility>

#include "agent/os/file.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/restore/layer_applier.h"

namespace cryopod::restore {
namespace {

namespace fs = std::filesystem;
using archive::LayerEntry;
using Kind = archive::LayerEntry::Kind;

class RootfsWriterTest : public LayerApplier {};

TEST_F(RootfsWriterTest, WritesAFileWithOwnerModeAndTime) {
  LayerEntry entry = Entry(Kind::kFile, "data");
  entry.uid = 1000;
  entry.gid = 2000;
  entry.mode = 0640;
  entry.mtime_ns = 1'700'000'000'123'456'789;

  ASSERT_THAT(Apply(entry, "content"), test::IsOk());

  EXPECT_EQ(test::ReadText(root() / "data"), "content");
  const struct stat status = StatOf("data");
  EXPECT_EQ(status.st_uid, 1000u);
  EXPECT_EQ(status.st_gid, 2000u);
  EXPECT_EQ(status.st_mode & 07777u, 0640u);
  EXPECT_EQ(status.st_mtim.tv_sec, 1'700'000'000);
  EXPECT_EQ(status.st_mtim.tv_nsec, 123'456'789);
}

// A folder on a disk shows what a file takes there; st_blocks are final once it is synced.
class SparseFileTest : public RootfsWriterTest {
 protected:
  uint64_t TakenBytes(const std::string& name) {
    const UniqueFd file = OpenAt(AT_FDCWD, root() / name, O_RDONLY).value();
    EXPECT_EQ(::fsync(file.get()), 0);
    return static_cast<uint64_t>(StatOf(name).st_blocks) * 512;
  }
  Status ApplyWhole(const std::string& name, const std::string& bytes) {
    LayerEntry entry = Entry(Kind::kFile, name);
    entry.size_bytes = bytes.size();
    return writer().Apply(
        entry,
        [left = std::string_view(bytes)](char* buffer, size_t size) mutable -> Result<size_t> {
          const size_t count = std::min({left.size(), size, size_t{10'000}});
          std::copy_n(left.data(), count, buffer);
          left.remove_prefix(count);
          return count;
        });
  }
};

TEST_F(SparseFileTest, ZerosComeBackAsHolesWhereverTheyLie) {
  const std::string zeros(size_t{1} << 20, '\0');
  const std::string data(size_t{1} << 20, 'x');
  const std::pair<const char*, std::string> files[] = {{"start", zeros + data},
                                                       {"middle", data + zeros + data},
                                                       {"end", data + zeros + std::string(3, '\0')},
                                                       {"odd", "x" + zeros + "x" + zeros + "x"},
                                                       {"several", zeros + data + zeros + data}};
  for (const auto& [name, bytes] : files) {
    ASSERT_THAT(ApplyWhole(name, bytes), test::IsOk());

    EXPECT_EQ(test::ReadText(root() / name), bytes) << name;
    const auto data_bytes = static_cast<uint64_t>(std::count(bytes.begin(), bytes.end(), 'x'));
    EXPECT_GE(TakenBytes(name), data_bytes) << name;
    EXPECT_LE(TakenBytes(name), data_bytes + (128u << 10)) << name;
  }
}

TEST_F(SparseFileTest, OnlyAHoleTakesNothing) {
  for (const size_t size : {size_t{1} << 20, (size_t{1} << 20) + 5, size_t{8192}}) {
    ASSERT_THAT(ApplyWhole("hole", std::string(size, '\0')), test::IsOk());

    EXPECT_EQ(StatOf("hole").st_size, static_cast<off_t>(size));
    EXPECT_EQ(TakenBytes("hole"), 0u);
    EXPECT_EQ(test::ReadText(root() / "hole"), std::string(size, '\0'));
  }
}

TEST_F(SparseFileTest, DataWithoutAPageOfZerosIsWrittenAsItIs) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) bytes += std::string(4000, '\0') + "x";

  ASSERT_THAT(ApplyWhole("dense", bytes), test::IsOk());

  EXPECT_EQ(test::ReadText(root() / "dense"), bytes);
  EXPECT_GE(TakenBytes("dense"), bytes.size());
}

TEST_F(SparseFileTest, AHoleOfTwoGibibytesTakesNoSpace) {
  LayerEntry entry = Entry(Kind::kFile, "large");
  entry.size_bytes = uint64_t{2} << 30;

  const Status applied = writer().Apply(entry, [](char* buffer, size_t size) -> Result<size_t> {
    std::fill_n(buffer, size, '\0');
    return size;
  });

  ASSERT_THAT(applied, test::IsOk());
  EXPECT_EQ(StatOf("large").st_size, off_t{2} << 30);
  EXPECT_EQ(TakenBytes("large"), 0u);
}

TEST_F(RootfsWriterTest, ATimeBeforeTheEpochAndASetUidBitSurvive) {
  LayerEntry entry = Entry(Kind::kFile, "old");
  entry.mtime_ns = -500'000'000;
  entry.uid = 7;
  entry.mode = 04755;

  ASSERT_THAT(Apply(entry, "x"), test::IsOk());

  EXPECT_EQ(StatOf("old").st_mtim.tv_sec, -1);
  EXPECT_EQ(StatOf("old").st_mtim.tv_nsec, 500'000'000);
  EXPECT_EQ(StatOf("old").st_mode & 07777u, 04755u);
}

TEST_F(RootfsWriterTest, AFileReplacesWhatWasThere) {
  test::WriteText(root() / "file", "image");
  fs::create_directories(root() / "tree/deep");
  fs::create_symlink("file", root() / "link");
  for (const char* name : {"file", "tree", "link"}) {
    ASSERT_THAT(Apply(Entry(Kind::kFile, name), name), test::IsOk());

    EXPECT_EQ(test::ReadText(root() / name), name);
    EXPECT_TRUE(S_ISREG(StatOf(name).st_mode));
  }
}

TEST_F(RootfsWriterTest, ADirectoryThatIsThereKeepsItsContentAndOneThatTheImageLacksIsMade) {
  fs::create_directories(root() / "etc");
  test::WriteText(root() / "etc/passwd", "kept");
  LayerEntry entry = Entry(Kind::kDirectory, "etc");
  entry.mode = 0711;

  ASSERT_THAT(Apply(entry), test::IsOk());
  ASSERT_THAT(Apply(Entry(Kind::kFile, "a/b/c"), "deep"), test::IsOk());

  EXPECT_EQ(test::ReadText(root() / "etc/passwd"), "kept");
  EXPECT_EQ(StatOf("etc").st_mode & 07777u, 0711u);
  EXPECT_EQ(test::ReadText(root() / "a/b/c"), "deep");
}

TEST_F(RootfsWriterTest, DirectoriesGetTheirTimesBackAtTheEnd) {
  LayerEntry entry = Entry(Kind::kDirectory, "logs");
  entry.mtime_ns = 1'600'000'000'000'000'000;
  ASSERT_THAT(Apply(entry), test::IsOk());
  ASSERT_THAT(Apply(Entry(Kind::kFile, "logs/a"), "x"), test::IsOk());
  ASSERT_NE(StatOf("logs").st_mtim.tv_sec, 1'600'000'000);

  ASSERT_THAT(writer().Finish(), test::IsOk());

  EXPECT_EQ(StatOf("logs").st_mtim.tv_sec, 1'600'000'000);
}

TEST_F(RootfsWriterTest, MakesSymlinksFifosAndHardLinksWithOwnerAndMode) {
  LayerEntry link = Entry(Kind::kSymlink, "link");
  link.link_target = "/anywhere/../else";
  link.uid = 5;
  LayerEntry fifo = Entry(Kind::kFifo, "pipe");
  fifo.mode = 0620;
  LayerEntry hard = Entry(Kind::kHardlink, "two");
  hard.link_target = "one";
  ASSERT_THAT(Apply(Entry(Kind::kFile, "one"), "same"), test::IsOk());

  for (const LayerEntry& entry : {link, fifo, hard}) ASSERT_THAT(Apply(entry), test::IsOk());

  EXPECT_EQ(fs::read_symlink(root() / "link"), "/anywhere/../else");
  EXPECT_EQ(StatOf("link").st_uid, 5u);
  EXPECT_TRUE(S_ISFIFO(StatOf("pipe").st_mode));
  EXPECT_EQ(StatOf("pipe").st_mode & 07777u, 0620u);
  EXPECT_EQ(StatOf("one").st_ino, StatOf("two").st_ino);
}

TEST_F(RootfsWriterTest, AWhiteoutRemoves) {
  fs::create_directories(root() / "gone/deep");
  test::WriteText(root() / "gone/deep/file", "x");

  ASSERT_THAT(Apply(Entry(Kind::kWhiteout, "gone")), test::IsOk());
  ASSERT_THAT(Apply(Entry(Kind::kWhiteout, "never-there")), test::IsOk());

  EXPECT_FALSE(fs::exists(root() / "gone"));
}

TEST_F(RootfsWriterTest, AnOpaqueDirectoryIsEmptiedAndStays) {
  fs::create_directories(root() / "cache/deep");
  test::WriteText(root() / "cache/file", "x");
  ASSERT_THAT(Apply(Entry(Kind::kDirectory, "cache")), test::IsOk());

  ASSERT_THAT(Apply(Entry(Kind::kOpaque, "cache")), test::IsOk());
  ASSERT_THAT(Apply(Entry(Kind::kFile, "cache/new"), "y"), test::IsOk());

  EXPECT_TRUE(fs::exists(root() / "cache/new"));
  EXPECT_FALSE(fs::exists(root() / "cache/file"));
  EXPECT_FALSE(fs::exists(root() / "cache/deep"));
}

TEST_F(RootfsWriterTest, CarriesTheXattrsThatAreTheContainersOwn) {
  if (!CanSetXattr("user.probe")) GTEST_SKIP() << "no user xattrs on this file system";
  LayerEntry entry = Entry(Kind::kFile, "file");
  entry.xattrs = {{"user.note", std::string("a\0b", 3)},
                  {"trusted.overlay.opaque", "y"},
                  {"security.selinux", "system_u:object_r:etc_t:s0"}};

  ASSERT_THAT(Apply(entry, "x"), test::IsOk());

  EXPECT_EQ(XattrOf("file", "user.note"), std::string("a\0b", 3));
  EXPECT_EQ(XattrOf("file", "trusted.overlay.opaque"), "");
  EXPECT_EQ(XattrOf("file", "security.selinux"), "");
}

TEST_F(RootfsWriterTest, AFileOfAnotherSizeThanSaidIsRefused) {
  LayerEntry entry = Entry(Kind::kFile, "short");
  entry.size_bytes = 10;

  EXPECT_THAT(writer().Apply(entry, Content("only")), test::StatusIs(Code::kDataLoss));
}

}  // namespace
}  // namespace cryopod::restore
