#include "agent/jobs/restore_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::restore {
namespace {

using ::testing::HasSubstr;

nlohmann::json Complete() {
  return {
      {"operation_id", "r-1"},   {"archive", "web-1"},        {"digest", "sha256:aa"},
      {"pod_uid", "u-1"},        {"pod_namespace", "shop"},   {"pod_name", "web"},
      {"restore_from", "web-1"}, {"restore_operation", "op"}, {"store_root", "/store"},
      {"state_dir", "/state"},   {"unpack_program", "/u"},    {"criu_program", "/usr/sbin/criu"},
      {"staging_dir", "/s"},     {"idle_timeout_s", 30},      {"hold_ms", 250}};
}

TEST(RestoreJobTest, ReadsEveryField) {
  const Result<RestoreJob> job = ParseRestoreJob(Complete().dump());

  ASSERT_THAT(job, test::IsOk());
  EXPECT_EQ(job->operation_id, "r-1");
  EXPECT_EQ(job->archive, "web-1");
  EXPECT_EQ(job->digest, "sha256:aa");
  EXPECT_EQ(job->pod_uid, "u-1");
  EXPECT_EQ(job->restore_operation, "op");
  EXPECT_EQ(job->criu_program, "/usr/sbin/criu");
  EXPECT_EQ(job->staging_dir, "/s");
  EXPECT_EQ(job->idle_timeout, std::chrono::seconds(30));
  EXPECT_EQ(job->hold, std::chrono::milliseconds(250));
}

TEST(RestoreJobTest, WhatIsOptionalHasADefault) {
  nlohmann::json object = Complete();
  for (const char* name : {"digest", "restore_operation", "criu_program", "idle_timeout_s",
                           "hold_ms", "pod_name", "pod_namespace"}) {
    object.erase(name);
  }

  const Result<RestoreJob> job = ParseRestoreJob(object.dump());

  ASSERT_THAT(job, test::IsOk());
  EXPECT_EQ(job->criu_program, "criu");
  EXPECT_EQ(job->hold, std::chrono::milliseconds(1000));
  EXPECT_EQ(job->digest, "");
}

TEST(RestoreJobTest, WhatIsMissingIsNamed) {
  for (const char* name : {"operation_id", "archive", "pod_uid", "restore_from", "store_root",
                           "state_dir", "unpack_program", "staging_dir"}) {
    nlohmann::json object = Complete();
    object.erase(name);

    EXPECT_THAT(ParseRestoreJob(object.dump()),
                test::StatusIs(Code::kInvalidArgument, HasSubstr(name)));
  }
}

TEST(RestoreJobTest, WhatIsWrongIsNamed) {
  const std::pair<const char*, nlohmann::json> wrong[] = {{"archive", 7},
                                                          {"archive", ""},
                                                          {"hold_ms", "soon"},
                                                          {"hold_ms", -1},
                                                          {"idle_timeout_s", 1'000'000},
                                                          {"store_root", "rel"},
                                                          {"staging_dir", "rel"},
                                                          {"unpack_program", "cryopod-unpack"}};
  for (const auto& [name, value] : wrong) {
    nlohmann::json object = Complete();
    object[name] = value;

    EXPECT_THAT(ParseRestoreJob(object.dump()),
                test::StatusIs(Code::kInvalidArgument, HasSubstr(name)));
  }
}

TEST(RestoreJobTest, AUidThatWouldLeaveItsDirectoryIsRefused) {
  nlohmann::json object = Complete();
  object["pod_uid"] = "../../etc";

  EXPECT_THAT(ParseRestoreJob(object.dump()), test::StatusIs(Code::kInvalidArgument));
}

TEST(RestoreJobTest, IsReadFromTheJobsDirectory) {
  test::TempDirectory temp;
  EXPECT_THAT(ReadRestoreJob(temp.path().string()), test::StatusIs(Code::kNotFound));

  test::WriteText(temp.path() / "request.json", "rubbish");
  EXPECT_THAT(ReadRestoreJob(temp.path().string()), test::StatusIs(Code::kInvalidArgument));

  test::WriteText(temp.path() / "request.json", Complete().dump());
  EXPECT_THAT(ReadRestoreJob(temp.path().string()), test::IsOk());
}

}  // namespace
}  // namespace cryopod::restore
