// Entries of a stranger's archive: whatever they name, nothing outside the root changes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <filesystem>

#include "agent/os/mount.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/restore/layer_applier.h"

namespace cryopod::restore {
namespace {

namespace fs = std::filesystem;
using archive::LayerEntry;
using ::testing::HasSubstr;
using Kind = archive::LayerEntry::Kind;

class RootfsWriterHostileTest : public LayerApplier {
 protected:
  // Nothing outside was changed, added or removed.
  void ExpectOutsideUntouched() {
    EXPECT_EQ(test::ReadText(outside() / "secret"), "untouched");
    EXPECT_EQ(std::distance(fs::directory_iterator(outside()), fs::directory_iterator()), 1);
  }
};

constexpr Kind kEveryKind[] = {Kind::kFile,     Kind::kDirectory,   Kind::kSymlink,
                               Kind::kHardlink, Kind::kFifo,        Kind::kCharDevice,
                               Kind::kWhiteout, Kind::kBlockDevice, Kind::kOpaque};

TEST_F(RootfsWriterHostileTest, APathThatLeavesTheRootIsRefusedForEveryKind) {
  fs::create_symlink("../outside", root() / "door");
  fs::create_symlink(outside(), root() / "absolute");
  for (const Kind kind : kEveryKind) {
    for (const char* path :
         {"../outside/secret", "a/../../outside/secret", "/etc/passwd", "..", ".", "", "a//b",
          "a/./b", "door/secret", "absolute/secret", "door/new"}) {
      LayerEntry entry = Entry(kind, path);
      entry.link_target = "secret";

      EXPECT_FALSE(Apply(entry, "evil").ok()) << path << " of kind " << static_cast<int>(kind);
    }
  }
  ExpectOutsideUntouched();
}

TEST_F(RootfsWriterHostileTest, ASymlinkThatTheLayerItselfMadeIsNotFollowed) {
  LayerEntry link = Entry(Kind::kSymlink, "door");
  link.link_target = outside().string();
  ASSERT_THAT(Apply(link), test::IsOk());

  EXPECT_FALSE(Apply(Entry(Kind::kFile, "door/secret"), "evil").ok());
  EXPECT_FALSE(Apply(Entry(Kind::kWhiteout, "door/secret")).ok());
  EXPECT_FALSE(Apply(Entry(Kind::kOpaque, "door")).ok());
  ExpectOutsideUntouched();
}

TEST_F(RootfsWriterHostileTest, FilesAndDirectoriesReplaceSymlinksInsteadOfGoingThroughThem) {
  fs::create_symlink(outside() / "secret", root() / "trap");
  fs::create_symlink(outside(), root() / "folder");

  ASSERT_THAT(Apply(Entry(Kind::kFile, "trap"), "evil"), test::IsOk());
  ASSERT_THAT(Apply(Entry(Kind::kDirectory, "folder")), test::IsOk());
  ASSERT_THAT(Apply(Entry(Kind::kFile, "folder/new"), "here"), test::IsOk());

  EXPECT_EQ(test::ReadText(root() / "trap"), "evil");
  EXPECT_FALSE(fs::is_symlink(root() / "folder"));
  ExpectOutsideUntouched();
}

TEST_F(RootfsWriterHostileTest, RemovingATreeDoesNotFollowItsSymlinks) {
  fs::create_directory(root() / "tree");
  fs::create_directory_symlink(outside(), root() / "tree/door");

  ASSERT_THAT(Apply(Entry(Kind::kWhiteout, "tree")), test::IsOk());

  EXPECT_FALSE(fs::exists(root() / "tree"));
  ExpectOutsideUntouched();
}

TEST_F(RootfsWriterHostileTest, AHardLinkReachesNothingOutsideAndNoDirectory) {
  fs::create_symlink(outside(), root() / "door");
  fs::create_directory(root() / "dir");
  for (const char* target : {"../outside/secret", "door/secret", "/etc/passwd", "dir"}) {
    LayerEntry entry = Entry(Kind::kHardlink, "stolen");
    entry.link_target = target;

    EXPECT_FALSE(Apply(entry).ok()) << target;
  }
  EXPECT_FALSE(fs::exists(root() / "stolen"));
}

TEST_F(RootfsWriterHostileTest, AHardLinkToASymlinkLinksTheSymlink) {
  fs::create_symlink(outside() / "secret", root() / "link");
  LayerEntry entry = Entry(Kind::kHardlink, "second");
  entry.link_target = "link";

  ASSERT_THAT(Apply(entry), test::IsOk());

  EXPECT_TRUE(fs::is_symlink(root() / "second"));
}

TEST_F(RootfsWriterHostileTest, DevicesAreNeverMade) {
  for (const Kind kind : {Kind::kCharDevice, Kind::kBlockDevice}) {
    LayerEntry entry = Entry(kind, "disk");
    entry.device_major = 8;

    EXPECT_THAT(Apply(entry), test::StatusIs(Code::kFailedPrecondition, HasSubstr("disk")));
  }
  EXPECT_FALSE(fs::exists(root() / "disk"));
}

TEST_F(RootfsWriterHostileTest, AMountInsideTheRootIsNotCrossed) {
  fs::create_directory(root() / "volume");
  ASSERT_EQ(::mount(outside().c_str(), (root() / "volume").c_str(), nullptr, MS_BIND, nullptr), 0);

  EXPECT_FALSE(Apply(Entry(Kind::kFile, "volume/secret"), "evil").ok());
  EXPECT_FALSE(Apply(Entry(Kind::kWhiteout, "volume/secret")).ok());
  EXPECT_FALSE(Apply(Entry(Kind::kWhiteout, "volume")).ok());
  EXPECT_FALSE(Apply(Entry(Kind::kOpaque, "volume")).ok());

  ExpectOutsideUntouched();
  EXPECT_THAT(UnmountAll((root() / "volume").string()), test::IsOk());
}

TEST_F(RootfsWriterHostileTest, ADirectoryThatBecameASymlinkGetsNoTime) {
  LayerEntry entry = Entry(Kind::kDirectory, "dir");
  entry.mtime_ns = 1'000'000'000;
  ASSERT_THAT(Apply(entry), test::IsOk());
  fs::remove(root() / "dir");
  fs::create_symlink(outside(), root() / "dir");
  const auto before = fs::last_write_time(outside());

  ASSERT_THAT(writer().Finish(), test::IsOk());

  EXPECT_EQ(fs::last_write_time(outside()), before);
}

}  // namespace
}  // namespace cryopod::restore
