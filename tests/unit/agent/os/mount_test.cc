#include "agent/os/mount.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "agent/os/file.h"
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

  test::TempDirectory temp_;
  std::string path_ = temp_.path() / "a/tmpfs";
};

TEST_F(MountTest, ATmpfsIsPrivateAndOnlyForUs) {
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<MountEntry> mounts, ReadMountInfo(::getpid()));
  const auto mount = std::find_if(mounts.begin(), mounts.end(), [this](const MountEntry& entry) {
    return entry.mount_point == path_;
  });
  ASSERT_NE(mount, mounts.end());
  EXPECT_EQ(mount->file_system_type, "tmpfs");
  EXPECT_THAT(mount->mount_options, ::testing::HasSubstr("nosuid"));
  EXPECT_THAT(mount->mount_options, ::testing::HasSubstr("nodev"));
}

TEST_F(MountTest, ATmpfsTakesNoMoreThanItsSize) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd dir, OpenDirectory(path_));

  EXPECT_THAT(WriteFileAtomically(dir.get(), "big", std::string(size_t{2} << 20, 'x')),
              StatusIs(Code::kResourceExhausted));
}

TEST_F(MountTest, KnowsAMountPointFromADirectory) {
  std::filesystem::create_directory(path_ + "/inside");

  EXPECT_TRUE(IsMountPoint(path_));
  EXPECT_TRUE(IsMountPoint("/proc"));
  EXPECT_FALSE(IsMountPoint(path_ + "/inside"));
  EXPECT_FALSE(IsMountPoint(path_ + "/absent"));
}

TEST_F(MountTest, UnmountsHoweverManyLieOnEachOther) {
  ASSERT_THAT(MountTmpfs(path_, uint64_t{1} << 20), IsOk());
  ASSERT_THAT(MountTmpfs(path_, uint64_t{1} << 20), IsOk());

  ASSERT_THAT(UnmountAll(path_), IsOk());

  EXPECT_FALSE(IsMountPoint(path_));
}

TEST_F(MountTest, UnmountsWhileSomebodyUsesIt) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd used, OpenDirectory(path_));

  EXPECT_THAT(UnmountAll(path_), IsOk());
  EXPECT_FALSE(IsMountPoint(path_));
}

TEST_F(MountTest, UnmountingWhereNothingIsMountedSucceeds) {
  std::filesystem::create_directory(temp_.path() / "plain");

  EXPECT_THAT(UnmountAll(temp_.path() / "plain"), IsOk());
  EXPECT_THAT(UnmountAll(temp_.path() / "absent"), IsOk());
}

TEST_F(MountTest, AnUnmountDoesNotFollowALink) {
  std::filesystem::create_symlink(path_, temp_.path() / "link");

  EXPECT_THAT(UnmountAll(temp_.path() / "link"), IsOk());

  EXPECT_TRUE(IsMountPoint(path_));
}

}  // namespace
}  // namespace cryopod
