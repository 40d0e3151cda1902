#include "restore/stage_archive.h"

#include <gmock/gmock.h>

#include <fstream>
#include <optional>

#include "agent/os/mount.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/restore/restore_fixture.h"

namespace cryopod::restore {
namespace {

namespace fs = std::filesystem;
using test::Soon;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uint64_t kMiB = uint64_t{1} << 20;

class StageArchiveTest : public RestoreFixture {
 protected:
  void SetUp() override {
    RestoreFixture::SetUp();
    if (IsSkipped()) return;
    CRYOPOD_ASSERT_OK_AND_ASSIGN(archive_, OpenArchiveOf(job_));
    CRYOPOD_ASSERT_OK_AND_ASSIGN(StagingArea area,
                                 StagingArea::Create(job_.staging_dir, Path("disk"), 8 * kMiB));
    area_.emplace(std::move(area));
  }
  Status Stage(const std::string& container) const {
    return StageContainer(job_, archive_, container, *area_, Soon());
  }
  fs::path Staged(const std::string& name) const { return area_->PathOf(name); }

  archive::Archive archive_;
  std::optional<StagingArea> area_;
};

TEST_F(StageArchiveTest, TheImagesOfAContainerAreUnpackedInMemoryWhereNobodyElseCanReadThem) {
  ASSERT_THAT(Stage("app"), test::IsOk());

  EXPECT_TRUE(IsMountPoint(job_.staging_dir));
  EXPECT_EQ(test::ReadText(Staged("app/descriptors.json")), "processes of app");
  EXPECT_TRUE(fs::exists(Staged("app/descriptors.json")));
  EXPECT_EQ(fs::status(Staged("app/descriptors.json")).permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(StageArchiveTest, StagingAgainReplacesWhatAnAttemptHasLeft) {
  ASSERT_THAT(Stage("app"), test::IsOk());
  test::WriteText(Staged("app/stats-restore"), "left over");

  ASSERT_THAT(Stage("app"), test::IsOk());

  EXPECT_FALSE(fs::exists(Staged("app/stats-restore")));
}

TEST_F(StageArchiveTest, ADamagedBlobIsRefusedAndNothingOfItIsLeft) {
  DamageImages("app");

  EXPECT_THAT(Stage("app"),
              test::StatusIs(Code::kDataLoss, AllOf(HasSubstr("staging container app"),
                                                    HasSubstr("has other bytes"))));
  EXPECT_FALSE(fs::exists(Staged("app")));
  EXPECT_THAT(Stage("sidecar"), test::IsOk());
}

TEST_F(StageArchiveTest, WhateverTheUnpackerMakesOfADamagedBlobTheDigestIsTheReason) {
  DamageImages("app");
  for (const char* program : {"/bin/true", "/bin/false", "/does/not/exist"}) {
    job_.unpack_program = program;

    EXPECT_THAT(Stage("app"), test::StatusIs(Code::kDataLoss, HasSubstr("has other bytes")));
    EXPECT_FALSE(fs::exists(Staged("app")));
  }
}

TEST_F(StageArchiveTest, AContainerThatTheArchiveLacksIsNamedWithThoseItHas) {
  EXPECT_THAT(Stage("db"),
              test::StatusIs(Code::kNotFound, AllOf(HasSubstr("db"), HasSubstr("app, sidecar"))));
}

TEST_F(StageArchiveTest, TheSmallImagesOfManyProcessesFit) {
  constexpr uint32_t kProcesses = 2000;
  constexpr uint32_t kFiles = 8 * kProcesses;
  const std::string image(300, 'x');
  archive::PodCheckpoint checkpoint;
  checkpoint.containers.resize(1);
  checkpoint.containers[0].processes = kProcesses;
  checkpoint.containers[0].tasks = kProcesses;
  checkpoint.containers[0].images_bytes = kFiles * image.size();
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::UnpackLimits limits, StagingLimits(checkpoint));
  const std::string area = Path("many");
  ASSERT_THAT(MountTmpfs(area, limits.bytes_max), test::IsOk());

  for (uint32_t i = 0; i < kFiles; ++i) {
    std::ofstream file(area + "/" + std::to_string(i) + ".img");
    file << image;
    if (!file.flush()) ADD_FAILURE() << "no room for file " << i;
    if (testing::Test::HasFailure()) break;
  }

  EXPECT_THAT(UnmountAll(area), test::IsOk());
}

TEST_F(StageArchiveTest, SizesThatCannotBeAreRefused) {
  archive::PodCheckpoint checkpoint;
  checkpoint.containers.resize(2);
  checkpoint.containers[0].images_bytes = 10 * kMiB;
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::UnpackLimits limits, StagingLimits(checkpoint));
  EXPECT_GT(limits.bytes_max, 10 * kMiB);

  checkpoint.containers[1].images_bytes = UINT64_MAX;
  EXPECT_THAT(StagingLimits(checkpoint), test::StatusIs(Code::kDataLoss));
}

TEST_F(StageArchiveTest, AnotherDigestThanAskedForIsRefused) {
  job_.digest = "sha256:" + std::string(64, 'a');
  EXPECT_THAT(OpenArchiveOf(job_), test::StatusIs(Code::kFailedPrecondition));

  job_.archive = "absent";
  EXPECT_THAT(OpenArchiveOf(job_), test::StatusIs(Code::kNotFound, HasSubstr("absent")));
}

}  // namespace
}  // namespace cryopod::restore
