#include "agent/daemon/operations/describe_restore.h"

#include "tests/unit/agent/daemon/daemon_fixture.h"

namespace cryopod::daemon {
namespace {

class DescribeRestoreJobTest : public test::AgentFixture {};

TEST_F(DescribeRestoreJobTest, PinsTheArchiveByTheDigestThatStandsUnderItsNameNow) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::Archive archive,
                               test::MakeSampleArchive(config_.store_root(), "a", {"app"}));
  wrapper::Request request;
  request.pod_uid = "u-1";
  request.pod_name = "web";
  request.pod_namespace = "shop";
  request.restore_from = "a@" + archive.digest();
  request.restore_operation = "op";
  config_.restore_hold_ms = 17;
  config_.restore_idle_timeout_s = 18;

  const jobs::RestoreJob described =
      DescribeRestoreJob(config_, request, "r-1", "/run/jobs/r-1", archive);
  // What it says survives the way to the other process, and to the next agent.
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const jobs::RestoreJob job,
      jobs::FromText<jobs::RestoreJob>(jobs::ToText(described), jobs::kRequestFile));

  EXPECT_EQ(job.operation_id, "r-1");
  EXPECT_EQ(job.archive, "a");
  EXPECT_EQ(job.digest, archive.digest());
  EXPECT_EQ(job.pod_uid, "u-1");
  EXPECT_EQ(job.pod_name, "web");
  EXPECT_EQ(job.pod_namespace, "shop");
  EXPECT_EQ(job.restore_from, request.restore_from);
  EXPECT_EQ(job.restore_operation, "op");
  EXPECT_EQ(job.store_root, config_.store_root());
  EXPECT_EQ(job.state_dir, config_.state_dir);
  EXPECT_EQ(job.staging_dir, "/run/jobs/r-1/staging");
  EXPECT_EQ(job.unpack_program, config_.unpack_program());
  EXPECT_EQ(job.hold, std::chrono::milliseconds(17));
  EXPECT_EQ(job.idle_timeout, std::chrono::seconds(18));
}

}  // namespace
}  // namespace cryopod::daemon
