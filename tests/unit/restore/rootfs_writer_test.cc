#include "restore/rootfs_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <filesystem>

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

TEST_F(RootfsWriterTest, ATimeBeforeTheEpochSurvives) {
  LayerEntry entry = Entry(Kind::kFile, "old");
  entry.mtime_ns = -500'000'000;

  ASSERT_THAT(Apply(entry, ""), test::IsOk());

  EXPECT_EQ(StatOf("old").st_mtim.tv_sec, -1);
  EXPECT_EQ(StatOf("old").st_mtim.tv_nsec, 500'000'000);
}

TEST_F(RootfsWriterTest, ASetUidBitSurvivesTheChangeOfOwner) {
  LayerEntry entry = Entry(Kind::kFile, "su");
  entry.uid = 7;
  entry.mode = 04755;

  ASSERT_THAT(Apply(entry, "x"), test::IsOk());

  EXPECT_EQ(StatOf("su").st_mode & 07777u, 04755u);
}

TEST_F(RootfsWriterTest, ReplacesWhatWasThere) {
  test::WriteText(root() / "file", "image");
  fs::create_directories(root() / "tree/deep");
  fs::create_symlink("file", root() / "link");

  ASSERT_THAT(Apply(Entry(Kind::kFile, "file"), "new"), test::IsOk());
  ASSERT_THAT(Apply(Entry(Kind::kFile, "tree"), "now a file"), test::IsOk());
  ASSERT_THAT(Apply(Entry(Kind::kFile, "link"), "no link"), test::IsOk());

  EXPECT_EQ(test::ReadText(root() / "file"), "new");
  EXPECT_EQ(test::ReadText(root() / "tree"), "now a file");
  EXPECT_EQ(test::ReadText(root() / "link"), "no link");
  EXPECT_FALSE(fs::is_symlink(root() / "link"));
}

TEST_F(RootfsWriterTest, ADirectoryThatIsThereKeepsItsContent) {
  fs::create_directories(root() / "etc");
  test::WriteText(root() / "etc/passwd", "kept");
  LayerEntry entry = Entry(Kind::kDirectory, "etc");
  entry.mode = 0711;

  ASSERT_THAT(Apply(entry), test::IsOk());

  EXPECT_EQ(test::ReadText(root() / "etc/passwd"), "kept");
  EXPECT_EQ(StatOf("etc").st_mode & 07777u, 0711u);
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

TEST_F(RootfsWriterTest, ADirectoryThatTheImageLacksIsMade) {
  ASSERT_THAT(Apply(Entry(Kind::kFile, "a/b/c"), "deep"), test::IsOk());

  EXPECT_EQ(test::ReadText(root() / "a/b/c"), "deep");
}

TEST_F(RootfsWriterTest, MakesSymlinksWithTheirOwner) {
  LayerEntry entry = Entry(Kind::kSymlink, "link");
  entry.link_target = "/anywhere/../else";
  entry.uid = 5;

  ASSERT_THAT(Apply(entry), test::IsOk());

  EXPECT_EQ(fs::read_symlink(root() / "link"), "/anywhere/../else");
  EXPECT_EQ(StatOf("link").st_uid, 5u);
}

TEST_F(RootfsWriterTest, HardLinksShareTheirInode) {
  ASSERT_THAT(Apply(Entry(Kind::kFile, "one"), "same"), test::IsOk());
  LayerEntry entry = Entry(Kind::kHardlink, "two");
  entry.link_target = "one";

  ASSERT_THAT(Apply(entry), test::IsOk());

  EXPECT_EQ(StatOf("one").st_ino, StatOf("two").st_ino);
}

TEST_F(RootfsWriterTest, MakesFifos) {
  LayerEntry entry = Entry(Kind::kFifo, "pipe");
  entry.mode = 0620;

  ASSERT_THAT(Apply(entry), test::IsOk());

  EXPECT_TRUE(S_ISFIFO(StatOf("pipe").st_mode));
  EXPECT_EQ(StatOf("pipe").st_mode & 07777u, 0620u);
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
