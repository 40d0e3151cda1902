#include "restore/runtime/protocol/interrupted_restore.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include <filesystem>
#include <string>

#include "agent/os/mount.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::wrapper {
namespace {

namespace fs = std::filesystem;

// What a killed runtime leaves: the root file system bound into its state directory, and volumes
// bound into the root file system.
class InterruptedRestoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"state/criu-root", "rootfs/data/deep", "volume"}) {
      fs::create_directories(temp_.path() / name);
    }
    test::WriteText(temp_.path() / "volume/precious", "kept");
    Bind(temp_.path() / "rootfs", temp_.path() / "rootfs");
    Bind(temp_.path() / "volume", temp_.path() / "rootfs/data");
    Bind(temp_.path() / "rootfs", temp_.path() / "state/criu-root");
  }
  void TearDown() override {
    for (const char* name : {"state/criu-root", "rootfs/data", "rootfs"}) {
      EXPECT_THAT(UnmountAll(Path(name)), test::IsOk());
    }
  }

  static void Bind(const fs::path& from, const fs::path& to) {
    ASSERT_EQ(::mount(from.c_str(), to.c_str(), nullptr, MS_BIND | MS_REC, nullptr), 0);
    ASSERT_EQ(::mount(nullptr, to.c_str(), nullptr, MS_PRIVATE, nullptr), 0);
  }

  std::string Path(const std::string& name) const { return (temp_.path() / name).string(); }

  test::TempDirectory temp_;
};

TEST_F(InterruptedRestoreTest, DetachesTheBoundRootAndTheVolumesButNotTheRootItself) {
  const std::string rootfs = Path("rootfs");

  EXPECT_THAT(DetachRestoreMounts(Path("state"), rootfs), test::IsOk());

  EXPECT_FALSE(IsMountPoint(Path("state/criu-root")));
  EXPECT_FALSE(IsMountPoint(rootfs + "/data"));
  EXPECT_TRUE(IsMountPoint(rootfs));
}

TEST_F(InterruptedRestoreTest, RemovingTheStateDirectoryAfterwardsSparesTheVolume) {
  ASSERT_THAT(DetachRestoreMounts(Path("state"), ""), test::IsOk());

  fs::remove_all(temp_.path() / "state");

  EXPECT_EQ(test::ReadText(temp_.path() / "volume/precious"), "kept");
}

TEST_F(InterruptedRestoreTest, NothingLeftIsSuccess) {
  ASSERT_THAT(DetachRestoreMounts(Path("state"), Path("rootfs")), test::IsOk());

  EXPECT_THAT(DetachRestoreMounts(Path("state"), Path("rootfs")), test::IsOk());
  EXPECT_THAT(DetachRestoreMounts(Path("absent"), ""), test::IsOk());
}

}  // namespace
}  // namespace cryopod::wrapper
