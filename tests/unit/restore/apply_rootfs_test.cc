#include "restore/apply_rootfs.h"

#include <gmock/gmock.h>

#include "restore/stage_archive.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/restore/restore_fixture.h"

namespace cryopod::restore {
namespace {

namespace fs = std::filesystem;
using test::Soon;
using ::testing::HasSubstr;

class ApplyRootfsTest : public RestoreFixture {};

TEST_F(ApplyRootfsTest, TheLayerOfTheContainerLandsInItsMountedRootOrTheRestoreFails) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::Archive archive, OpenArchiveOf(job_));
  const std::string rootfs = CreateRequest("app", "c1").rootfs;

  ASSERT_THAT(ApplyRootfs(job_, archive, "app", rootfs, Soon()), test::IsOk());
  EXPECT_EQ(test::ReadText(fs::path(rootfs) / "var/state"), "written by app");

  job_.unpack_program = Path("absent");
  EXPECT_FALSE(ApplyRootfs(job_, archive, "app", rootfs, Soon()).ok());
}

TEST_F(ApplyRootfsTest, ADirectoryThatIsNoMountIsNeverWritten) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::Archive archive, OpenArchiveOf(job_));
  fs::create_directory(Path("plain"));

  EXPECT_THAT(ApplyRootfs(job_, archive, "app", Path("plain"), Soon()),
              test::StatusIs(Code::kFailedPrecondition, HasSubstr(Path("plain"))));
  EXPECT_TRUE(fs::is_empty(Path("plain")));
}

}  // namespace
}  // namespace cryopod::restore
