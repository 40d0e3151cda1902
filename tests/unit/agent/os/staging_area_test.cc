#include "agent/os/staging_area.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <utility>

#include "agent/os/mount.h"
#include "agent/os/proc.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

mode_t ModeOf(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

class StagingAreaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "mounts need root";
  }
  std::string memory_path() const { return temp_.path() / "job" / "staging"; }
  std::string disk_parent() const { return temp_.path() / "state" / "staging"; }
  std::string disk_path() const { return disk_parent() + "/c-1"; }
  Result<StagingArea> Create(uint64_t needed_bytes) const {
    return StagingArea::Create(memory_path(), disk_path(), needed_bytes);
  }
  // More than half of the memory, so that the disk is taken; margins come on top.
  static uint64_t TooMuchForMemory() { return AvailableMemoryBytes().value() / 2; }

 private:
  cryopod::test::TempDirectory temp_;
};

TEST_F(StagingAreaTest, IsATmpfsOfItsOwnForRootAlone) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const StagingArea staging, Create(1 << 20));

  EXPECT_TRUE(staging.in_memory());
  EXPECT_EQ(staging.path(), memory_path());
  EXPECT_TRUE(IsMountPoint(memory_path()));
  EXPECT_EQ(ModeOf(memory_path()), 0700u);
  EXPECT_FALSE(fs::exists(disk_path()));
  EXPECT_EQ(fs::space(memory_path()).capacity, uint64_t{1} << 20);
}

TEST_F(StagingAreaTest, DestroyedItIsUnmountedAndRemovedButNotWhenItWasMovedFrom) {
  std::optional<StagingArea> kept;
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(StagingArea staging, Create(1 << 20));
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd images, staging.MakeDirectory("app.images"));
    test::WriteText(memory_path() + "/app.images/pages-1.img", "secret");
    kept.emplace(std::move(staging));
  }
  EXPECT_TRUE(IsMountPoint(memory_path()));

  kept.reset();
  EXPECT_FALSE(IsMountPoint(memory_path()));
  EXPECT_FALSE(fs::exists(memory_path()));
}

TEST_F(StagingAreaTest, ADirectoryOfAnEarlierAttemptIsMadeAnew) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(StagingArea staging, Create(1 << 20));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd first, staging.MakeDirectory("app.images"));
  test::WriteText(memory_path() + "/app.images/old.img", "x");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd second, staging.MakeDirectory("app.images"));

  EXPECT_TRUE(fs::is_empty(memory_path() + "/app.images"));
  EXPECT_EQ(ModeOf(memory_path() + "/app.images"), 0700u);
}

TEST_F(StagingAreaTest, WhatAnEarlierProcessLeftIsClearedAway) {
  ASSERT_THAT(MountTmpfs(memory_path(), 1 << 20), IsOk());
  test::WriteText(memory_path() + "/old", "x");
  fs::create_directories(disk_path() + "/old");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const StagingArea staging, Create(1 << 20));

  EXPECT_FALSE(fs::exists(memory_path() + "/old"));
  EXPECT_FALSE(fs::exists(disk_path()));
}

TEST_F(StagingAreaTest, ADirectoryCanBeRemovedAlone) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(StagingArea staging, Create(1 << 20));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd app, staging.MakeDirectory("app"));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd sidecar, staging.MakeDirectory("sidecar"));
  test::WriteText(staging.PathOf("app") + "/old.img", "x");

  staging.RemoveInBackground("app");

  EXPECT_FALSE(fs::exists(staging.PathOf("app")));
  EXPECT_TRUE(fs::exists(staging.PathOf("sidecar")));
}

TEST_F(StagingAreaTest, TakesTheDiskWhenMemoryIsShort) {
  const uint64_t needed_bytes = TooMuchForMemory();
  if (fs::space("/tmp").available < 2 * needed_bytes) GTEST_SKIP() << "the disk is short as well";
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(StagingArea staging, Create(needed_bytes));

    EXPECT_FALSE(staging.in_memory());
    EXPECT_EQ(staging.path(), disk_path());
    EXPECT_EQ(ModeOf(disk_path()), 0700u);
    EXPECT_FALSE(IsMountPoint(disk_path()));
    EXPECT_FALSE(fs::exists(memory_path()));
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd images, staging.MakeDirectory("app.images"));
    EXPECT_TRUE(fs::exists(disk_path() + "/app.images"));
  }

  EXPECT_FALSE(fs::exists(disk_path()));
}

TEST_F(StagingAreaTest, WhatLostProcessesLeftOnDiskIsSweptAndNothingElse) {
  for (const char* name : {"c-1", "c-2", "r-3"}) {
    fs::create_directories(disk_parent() + "/" + name + "/app.images");
  }

  ASSERT_THAT(StagingArea::RemoveAllBut(disk_parent(), {"c-2"}), IsOk());

  EXPECT_FALSE(fs::exists(disk_parent() + "/c-1"));
  EXPECT_TRUE(fs::exists(disk_parent() + "/c-2/app.images"));
  EXPECT_FALSE(fs::exists(disk_parent() + "/r-3"));
  EXPECT_THAT(StagingArea::RemoveAllBut(disk_parent() + "/nowhere", {}), IsOk());
}

TEST_F(StagingAreaTest, NeitherMemoryNorDiskIsAnErrorThatLeavesNothing) {
  EXPECT_THAT(
      Create(uint64_t{1} << 60),
      StatusIs(Code::kResourceExhausted, AllOf(HasSubstr("of memory"), HasSubstr(disk_path()))));

  EXPECT_FALSE(fs::exists(memory_path()));
  EXPECT_FALSE(fs::exists(disk_path()));
}

}  // namespace
}  // namespace cryopod
