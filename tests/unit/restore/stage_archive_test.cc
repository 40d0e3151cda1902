#include "restore/stage_archive.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>
#include <utility>

#include "agent/os/mount.h"
#include "restore/open_archive.h"
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
  Result<StagingArea> MakeArea() {
    return StagingArea::Create(job_.staging_dir, Path("disk"), 8 * kMiB);
  }
};

TEST_F(StageArchiveTest, TheImagesOfAContainerAreUnpackedInMemory) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::Archive archive, OpenArchiveOf(job_));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const StagingArea area, MakeArea());

  ASSERT_THAT(StageContainer(job_, archive, "app", area, Soon()), test::IsOk());

  EXPECT_TRUE(IsMountPoint(job_.staging_dir));
  EXPECT_EQ(test::ReadText(fs::path(area.PathOf("app")) / "pstree.img"), "processes of app");
  EXPECT_TRUE(fs::exists(fs::path(area.PathOf("app")) / "descriptors.json"));
}

TEST_F(StageArchiveTest, NobodyElseCanReadProcessMemory) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::Archive archive, OpenArchiveOf(job_));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const StagingArea area, MakeArea());
  ASSERT_THAT(StageContainer(job_, archive, "app", area, Soon()), test::IsOk());

  struct stat status {};
  ASSERT_EQ(::stat((area.PathOf("app") + "/pstree.img").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
}

TEST_F(StageArchiveTest, StagingAgainReplacesWhatAnAttemptHasLeft) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::Archive archive, OpenArchiveOf(job_));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const StagingArea area, MakeArea());
  ASSERT_THAT(StageContainer(job_, archive, "app", area, Soon()), test::IsOk());
  test::WriteText(fs::path(area.PathOf("app")) / "stats-restore", "left over");

  ASSERT_THAT(StageContainer(job_, archive, "app", area, Soon()), test::IsOk());

  EXPECT_FALSE(fs::exists(fs::path(area.PathOf("app")) / "stats-restore"));
}

TEST_F(StageArchiveTest, ADamagedBlobIsRefusedAndNothingOfItIsLeft) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::Archive archive, OpenArchiveOf(job_));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const StagingArea area, MakeArea());
  DamageImages("app");

  EXPECT_THAT(StageContainer(job_, archive, "app", area, Soon()),
              test::StatusIs(Code::kDataLoss, AllOf(HasSubstr("staging container app"),
                                                    HasSubstr("has other bytes"))));
  EXPECT_FALSE(fs::exists(area.PathOf("app")));
  EXPECT_THAT(StageContainer(job_, archive, "sidecar", area, Soon()), test::IsOk());
}

TEST_F(StageArchiveTest, WhateverTheUnpackerMakesOfADamagedBlobTheDigestIsTheReason) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::Archive archive, OpenArchiveOf(job_));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const StagingArea area, MakeArea());
  DamageImages("app");
  for (const char* program : {"/bin/true", "/bin/false", "/does/not/exist"}) {
    job_.unpack_program = program;

    EXPECT_THAT(StageContainer(job_, archive, "app", area, Soon()),
                test::StatusIs(Code::kDataLoss, HasSubstr("has other bytes")));
    EXPECT_FALSE(fs::exists(area.PathOf("app")));
  }
}

TEST_F(StageArchiveTest, AContainerThatTheArchiveLacksIsNamedWithThoseItHas) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::Archive archive, OpenArchiveOf(job_));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const StagingArea area, MakeArea());

  EXPECT_THAT(StageContainer(job_, archive, "db", area, Soon()),
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
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const uint64_t bytes, StagingBytes(checkpoint));
  const std::string area = Path("many");
  ASSERT_THAT(MountTmpfs(area, bytes), test::IsOk());

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
  const Result<uint64_t> sum = StagingBytes(checkpoint);
  ASSERT_THAT(sum, test::IsOk());
  EXPECT_GT(*sum, 10 * kMiB);

  checkpoint.containers[1].images_bytes = UINT64_MAX;
  EXPECT_THAT(StagingBytes(checkpoint), test::StatusIs(Code::kDataLoss));
}

TEST_F(StageArchiveTest, AnotherDigestThanAskedForIsRefused) {
  job_.digest = "sha256:" + std::string(64, 'a');
  EXPECT_THAT(OpenArchiveOf(job_), test::StatusIs(Code::kFailedPrecondition));

  job_.archive = "absent";
  EXPECT_THAT(OpenArchiveOf(job_), test::StatusIs(Code::kNotFound, HasSubstr("absent")));
}

}  // namespace
}  // namespace cryopod::restore
