#include "agent/os/mount.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <filesystem>

#include "agent/os/file.h"
#include "agent/os/mount_info.h"
#include "agent/os/proc.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

using test::IsOk;
using test::StatusIs;

class MountTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const Status mounted = MountTmpfs(path_, uint64_t{1} << 20);
    if (mounted.code() == Code::kPermissionDenied) GTEST_SKIP() << mounted.message();
    ASSERT_THAT(mounted, IsOk());
  }
  void TearDown() override { EXPECT_THAT(UnmountAll(path_), IsOk()); }

  MountEntry Entry() const {
    const std::vector<MountEntry> mounts = ReadMountInfo(::getpid()).value();
    for (const MountEntry& entry : mounts) {
      if (entry.mount_point == path_) return entry;
    }
    ADD_FAILURE() << path_ << " is no mount point";
    return MountEntry();
  }
  uint64_t AllocatedBytes(const std::string& name) const {
    struct stat info {};
    EXPECT_EQ(::stat((path_ + "/" + name).c_str(), &info), 0);
    return static_cast<uint64_t>(info.st_blocks) * 512;
  }

  test::TempDirectory temp_;
  std::string path_ = temp_.path() / "a/tmpfs";
};

TEST_F(MountTest, ATmpfsIsPrivateAndOnlyForUs) {
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);

  const MountEntry mount = Entry();
  EXPECT_EQ(mount.file_system_type, "tmpfs");
  EXPECT_THAT(mount.mount_options, ::testing::HasSubstr("nosuid"));
  EXPECT_THAT(mount.mount_options, ::testing::HasSubstr("nodev"));
}

TEST_F(MountTest, ATmpfsTakesNoMoreThanItsSize) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd dir, OpenDirectory(path_));

  EXPECT_THAT(WriteFileAtomically(dir.get(), "big", std::string(size_t{2} << 20, 'x')),
              StatusIs(Code::kResourceExhausted));
}

TEST_F(MountTest, ATmpfsTakesLargePiecesOfMemoryButNoneForSmallFiles) {
  const MountEntry mount = Entry();
  if (PathExists("/sys/kernel/mm/transparent_hugepage")) {
    EXPECT_THAT(mount.super_options, ::testing::HasSubstr("huge=within_size"));
  }

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd dir, OpenDirectory(path_));
  ASSERT_THAT(WriteFileAtomically(dir.get(), "small", "x"), IsOk());
  ASSERT_THAT(WriteFileAtomically(dir.get(), "odd", std::string(70'000, 'x')), IsOk());

  EXPECT_EQ(AllocatedBytes("small"), 4096u);
  EXPECT_EQ(AllocatedBytes("odd"), 18u * 4096);
}

TEST_F(MountTest, ATmpfsTakesAsManyFilesAsItsSizeSays) {
  const std::string large = path_ + "-large";
  ASSERT_THAT(MountTmpfs(large, uint64_t{1} << 30), IsOk());
  struct statvfs small_info {};
  struct statvfs large_info {};
  ASSERT_EQ(::statvfs(path_.c_str(), &small_info), 0);
  ASSERT_EQ(::statvfs(large.c_str(), &large_info), 0);
  EXPECT_THAT(UnmountAll(large), IsOk());

  EXPECT_EQ(small_info.f_files, 4096u);
  EXPECT_EQ(large_info.f_files, uint64_t{1} << 20);
}

TEST_F(MountTest, KnowsAMountPointFromADirectory) {
  std::filesystem::create_directory(path_ + "/inside");

  EXPECT_TRUE(IsMountPoint(path_));
  EXPECT_TRUE(IsMountPoint("/proc"));
  EXPECT_FALSE(IsMountPoint(path_ + "/inside"));
  EXPECT_FALSE(IsMountPoint(path_ + "/absent"));
}

TEST_F(MountTest, UnmountsHoweverManyLieOnEachOtherAndWhileSomebodyUsesThem) {
  ASSERT_THAT(MountTmpfs(path_, uint64_t{1} << 20), IsOk());
  ASSERT_THAT(MountTmpfs(path_, uint64_t{1} << 20), IsOk());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd used, OpenDirectory(path_));

  EXPECT_THAT(UnmountAll(path_), IsOk());
  EXPECT_FALSE(IsMountPoint(path_));
  EXPECT_THAT(UnmountAll(path_), IsOk());
  EXPECT_THAT(UnmountAll(temp_.path() / "absent"), IsOk());
}

TEST_F(MountTest, AnUnmountDoesNotFollowALink) {
  std::filesystem::create_symlink(path_, temp_.path() / "link");

  EXPECT_THAT(UnmountAll(temp_.path() / "link"), IsOk());

  EXPECT_TRUE(IsMountPoint(path_));
}

}  // namespace
}  // namespace cryopod
