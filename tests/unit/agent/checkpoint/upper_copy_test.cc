#include "agent/checkpoint/upper_copy.h"

#include <linux/capability.h>

#include "tests/unit/agent/checkpoint/upper_copy_fixture.h"

namespace cryopod::checkpoint {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

// What a copy keeps of an entry.
class UpperCopyTest : public test::UpperCopyFixture {
 protected:
  void CopyAheadOnly() {
    Settle();
    ASSERT_THAT(copy().CopyAhead({}), IsOk());
    ExpectFaithful();
  }
  void SetOwnerAndMode(const std::string& path, uid_t owner, mode_t mode) const {
    ASSERT_EQ(::chown(Up(path).c_str(), owner, owner + 1), 0);
    ASSERT_EQ(::chmod(Up(path).c_str(), mode), 0);
  }
  void MakeFiles() const {
    Write("files/owned", "content");
    SetOwnerAndMode("files/owned", 1000, 0641);
    SetTimes("files/owned", 1'000'000'000, 1'100'000'000);
    Write("files/set_id", "program");
    SetOwnerAndMode("files/set_id", 1000, 06755);
    Write("files/capable", "program");
    SetOwnerAndMode("files/capable", 1000, 0755);
    vfs_cap_data capabilities{};
    capabilities.magic_etc = VFS_CAP_REVISION_2;
    capabilities.data[0].permitted = 1u << CAP_NET_RAW;
    SetXattr("files/capable", "security.capability",
             std::string(reinterpret_cast<const char*>(&capabilities), sizeof capabilities));
    Write("files/xattrs", "x");
    SetXattr("files/xattrs", "user.note", "a value with \n in it");
    SetXattr("files/xattrs", "user.empty", "");
    SetXattr("files/xattrs", "trusted.overlay.origin", "of no use, but no harm");
    fs::create_hard_link(Up("files/owned"), Up("another name"));
  }
  void MakeDirectories() const {
    Write("directories/read_only/file", "x");
    SetOwnerAndMode("directories/read_only", 33, 01555);
    SetXattr("directories/read_only", "user.note", "of a directory");
    MakeDirectory("directories/opaque");
    SetXattr("directories/opaque", "trusted.overlay.opaque", "y");
    fs::create_hard_link(Up("files/owned"), Up("directories/opaque/third name"));
    SetTimes("directories/read_only", 1'000'000'000, 1'000'000'001);
    SetTimes("directories", 1'000'000'000, 1'000'000'001);
  }
  void MakeOthers() const {
    MakeWhiteout("whiteout");
    fs::create_symlink("/etc/passwd", Up("absolute"));
    ASSERT_EQ(::lchown(Up("absolute").c_str(), 1000, 1000), 0);
    fs::create_symlink("../../nowhere", Up("broken"));
    SetXattr("broken", "trusted.note", "of a symlink");
    fs::create_directory_symlink("directories", Up("to_directory"));
    fs::create_symlink(std::string(4000, 'x'), Up("long"));
    ASSERT_EQ(::mkfifo(Up("fifo").c_str(), 0620), 0);
    SetXattr("fifo", "trusted.note", "of a fifo");
  }
};

TEST_F(UpperCopyTest, AnEmptyLayerIsAnEmptyCopy) {
  CopyAheadOnly();
  FinishAndCompare();

  EXPECT_EQ(copy().bytes(), 0u);
}

TEST_F(UpperCopyTest, EveryKindOfEntryIsKeptByBothPasses) {
  MakeFiles();
  MakeDirectories();
  MakeOthers();

  CopyAheadOnly();
  FinishAndCompare();
}

TEST_F(UpperCopyTest, EveryKindOfEntryIsKeptByTheFrozenPassAlone) {
  MakeFiles();
  MakeDirectories();
  MakeOthers();

  FinishAndCompare();

  // That the whole description of a tree is no illusion.
  struct stat status {};
  ASSERT_EQ(::stat((into() / "files/owned").c_str(), &status), 0);
  EXPECT_EQ(status.st_nlink, 3u);
  EXPECT_EQ(status.st_mtim.tv_sec, 1'100'000'000);
  ASSERT_EQ(::stat((into() / "files/set_id").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 06755u);
  EXPECT_GT(::getxattr((into() / "files/capable").c_str(), "security.capability", nullptr, 0), 0);
}

TEST_F(UpperCopyTest, ADeviceNodeThatHasComeSinceIsRefusedByName) {
  CopyAheadOnly();
  MakeDirectory("dev");
  ASSERT_EQ(::mknod(Up("dev/loop").c_str(), S_IFBLK | 0660, makedev(7, 0)), 0);

  EXPECT_THAT(copy().Finish({}), StatusIs(Code::kFailedPrecondition, HasSubstr("dev/loop")));
}

TEST_F(UpperCopyTest, SocketsAreLeftOut) {
  Write("run/pid", "1");
  BindSocket("run/socket");

  CopyAheadOnly();
  FinishAndCompare();

  EXPECT_FALSE(fs::exists(into() / "run/socket"));
  EXPECT_TRUE(fs::exists(into() / "run/pid"));
}

TEST_F(UpperCopyTest, SparseFilesStaySparse) {
  constexpr off_t kSizeBytes = 32 << 20;
  Write("sparse", "head");
  ASSERT_EQ(::truncate(Up("sparse").c_str(), kSizeBytes), 0);
  const UniqueFd file(::open(Up("sparse").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::pwrite(file.get(), "tail", 4, kSizeBytes - 4), 4);

  CopyAheadOnly();
  FinishAndCompare();

  struct stat status {};
  ASSERT_EQ(::stat((into() / "sparse").c_str(), &status), 0);
  EXPECT_EQ(status.st_size, kSizeBytes);
  EXPECT_LT(status.st_blocks * 512, 1 << 20);
  EXPECT_EQ(copy().bytes(), static_cast<uint64_t>(kSizeBytes));
}

TEST_F(UpperCopyTest, WhatOverlayfsKeepsElsewhereIsRefusedByName) {
  MakeDirectory("srv/moved");
  for (const std::string key : {"trusted.overlay.redirect", "trusted.overlay.metacopy"}) {
    SetXattr("srv/moved", key, "/srv/old");
    EXPECT_THAT(copy().Finish({}),
                StatusIs(Code::kUnimplemented, AllOf(HasSubstr(key), HasSubstr("srv/moved"))));
    ASSERT_EQ(::removexattr(Up("srv/moved").c_str(), key.c_str()), 0);
  }
}

TEST_F(UpperCopyTest, AFullStagingAreaIsAnErrorThatNamesTheFile) {
  Write("big", std::string(size_t{65} << 20, 'x'));

  EXPECT_THAT(copy().Finish({}), StatusIs(Code::kResourceExhausted, HasSubstr("big")));
}

}  // namespace
}  // namespace cryopod::checkpoint
