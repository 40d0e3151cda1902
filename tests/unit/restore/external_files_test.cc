#include "restore/external_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::restore {
namespace {

namespace fs = std::filesystem;
using archive::ExternalFile;
using test::IsOk;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// A live pod whose volume at /data holds the file "here" of seven bytes and the directory "folder".
class ExternalFilesTest : public ::testing::Test {
 protected:
  ExternalFilesTest() {
    fs::create_directories(temp_.path() / "volume/folder");
    std::ofstream(temp_.path() / "volume/here") << "content";
    std::ofstream(temp_.path() / "outside") << "content";
    LiveMount mount;
    mount.destination = "/var/data";
    mount.source = temp_.path() / "volume";
    mount.type = "bind";
    fs::create_directories(temp_.path() / "rootfs");
    fs::create_directory_symlink("/", temp_.path() / "rootfs/var");
    live_.rootfs = temp_.path() / "rootfs";
    live_.mounts = {mount};
  }
  Status Check(const std::string& path, bool regular, uint64_t size_bytes,
               const std::string& mount_point = "/data", bool exact = true) const {
    archive::ContainerCheckpoint container;
    container.external_files = {{mount_point, path, "/srv/old", regular, size_bytes, exact}};
    return CheckExternalFiles(container, live_);
  }

  const test::TempDirectory temp_;
  LiveMounts live_;
};

TEST_F(ExternalFilesTest, WhatIsThereAndAsLargeIsWell) {
  EXPECT_THAT(Check("here", true, 7), IsOk());
  EXPECT_THAT(Check("folder", false, 0), IsOk());
  EXPECT_THAT(Check("", false, 0), IsOk());
  EXPECT_THAT(CheckExternalFiles({}, {}), IsOk());
  EXPECT_THAT(Check("no?where", true, 7, "/data", false), IsOk()) << "its name could not be told";
}

TEST_F(ExternalFilesTest, WhatIsMissingIsNamedWithTheVolumeItIsMissedOn) {
  const Status missing = Check("gone", true, 7);

  EXPECT_THAT(missing, StatusIs(Code::kFailedPrecondition,
                                AllOf(HasSubstr("/data/gone: it is not there on "),
                                      HasSubstr(live_.mounts[0].source))));
  EXPECT_EQ(missing.reason(), Reason::kFileAbsent);
}

TEST_F(ExternalFilesTest, AnotherSizeIsNamedWithBoth) {
  const Status changed = Check("here", true, 9);

  EXPECT_THAT(changed,
              StatusIs(Code::kFailedPrecondition,
                       AllOf(HasSubstr("another size"), HasSubstr("7 bytes instead of 9"))));
  EXPECT_EQ(changed.reason(), Reason::kFileChanged);
}

TEST_F(ExternalFilesTest, AnotherKindAndAVolumeThatTheNewPodLacksAreNamed) {
  EXPECT_THAT(Check("folder", true, 7), StatusIs(Code::kFailedPrecondition, HasSubstr("kind")));
  EXPECT_THAT(Check("here", true, 7, "/cache"),
              StatusIs(Code::kFailedPrecondition, HasSubstr("no volume at /cache")));
}

TEST_F(ExternalFilesTest, AStrangersPathLeadsNowhereElse) {
  fs::create_symlink("../outside", temp_.path() / "volume/link");

  for (const char* path : {"../outside", "folder/../../outside", "/etc/passwd", "link/x"}) {
    EXPECT_THAT(Check(path, true, 7), StatusIs(Code::kFailedPrecondition, HasSubstr("not there")))
        << path;
  }
  EXPECT_THAT(Check("link", true, 7), StatusIs(Code::kFailedPrecondition, HasSubstr("kind")));
}

TEST_F(ExternalFilesTest, OfManyAFewAreNamedAndTheRestCounted) {
  archive::ContainerCheckpoint container;
  for (int i = 0; i < 9; ++i) {
    container.external_files.push_back({"/data", "gone" + std::to_string(i), "", true, 1, true});
  }

  EXPECT_THAT(CheckExternalFiles(container, live_),
              StatusIs(Code::kFailedPrecondition, AllOf(HasSubstr("gone4"), Not(HasSubstr("gone5")),
                                                        HasSubstr("and 4 more"))));
}

}  // namespace
}  // namespace cryopod::restore
