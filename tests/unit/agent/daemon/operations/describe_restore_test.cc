#include "agent/daemon/operations/describe_restore.h"

#include <nlohmann/json.hpp>

#include "tests/unit/agent/daemon/daemon_fixture.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::StatusIs;
using nlohmann::json;
using ::testing::HasSubstr;

class RestoreJobTest : public test::AgentFixture {};

TEST_F(RestoreJobTest, PinsTheArchiveByTheDigestThatStandsUnderItsNameNow) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::Archive archive,
                               test::MakeSampleArchive(config_.store_root(), "a", {"app"}));
  wrapper::Request request;
  request.pod_uid = "u-1";
  request.pod_name = "web";
  request.pod_namespace = "shop";
  request.restore_from = "a";
  request.restore_operation = "op";
  config_.restore_hold_ms = 17;

  const json job = json::parse(RestoreJobJson(config_, request, "r-1", "/run/jobs/r-1", archive));

  EXPECT_EQ(job["operation_id"], "r-1");
  EXPECT_EQ(job["archive"], "a");
  EXPECT_EQ(job["digest"], archive.digest());
  EXPECT_EQ(job["pod_uid"], "u-1");
  EXPECT_EQ(job["pod_name"], "web");
  EXPECT_EQ(job["pod_namespace"], "shop");
  EXPECT_EQ(job["restore_from"], "a");
  EXPECT_EQ(job["restore_operation"], "op");
  EXPECT_EQ(job["store_root"], config_.store_root());
  EXPECT_EQ(job["staging_dir"], "/run/jobs/r-1/staging");
  EXPECT_EQ(job["unpack_program"], config_.unpack_program());
  EXPECT_EQ(job["hold_ms"], 17);
}

TEST_F(RestoreJobTest, TheNextAgentReadsBackWhoseRestoreItIs) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::Archive archive,
                               test::MakeSampleArchive(config_.store_root(), "a", {"app"}));
  wrapper::Request request;
  request.pod_uid = "u-1";
  request.restore_from = "a@" + archive.digest();
  request.restore_operation = "op";
  const std::string job_dir = config_.jobs_dir() + "/r-1";
  ASSERT_TRUE(jobs::CreateJobDirectory(config_.jobs_dir(), "r-1",
                                       RestoreJobJson(config_, request, "r-1", job_dir, archive))
                  .ok());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const wrapper::Request read, RequestOfRestoreJob(job_dir));

  EXPECT_EQ(read.pod_uid, request.pod_uid);
  EXPECT_EQ(read.restore_from, request.restore_from);
  EXPECT_EQ(read.restore_operation, request.restore_operation);
}

TEST_F(RestoreJobTest, ADamagedRequestNamesTheFieldThatIsMissing) {
  const std::string job_dir = config_.jobs_dir() + "/r-1";
  EXPECT_THAT(RequestOfRestoreJob(job_dir), StatusIs(Code::kNotFound));
  std::filesystem::create_directory(job_dir);
  for (const auto& [text, field] :
       {std::pair{"{", "pod_uid"}, std::pair{"[]", "pod_uid"}, std::pair{"{}", "pod_uid"},
        std::pair{R"({"pod_uid":1})", "pod_uid"}, std::pair{R"({"pod_uid":"u"})", "restore_from"},
        std::pair{R"({"pod_uid":"u","restore_from":"a"})", "restore_operation"}}) {
    std::ofstream(job_dir + "/request.json") << text;
    EXPECT_THAT(RequestOfRestoreJob(job_dir), StatusIs(Code::kDataLoss, HasSubstr(field))) << text;
  }
}

}  // namespace
}  // namespace cryopod::daemon
