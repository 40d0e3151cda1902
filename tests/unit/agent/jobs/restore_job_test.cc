#include "agent/jobs/restore_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "agent/jobs/job_file.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/jobs/sample_jobs.h"

namespace cryopod::jobs {
namespace {

using cryopod::test::StatusIs;
using nlohmann::json;
using ::testing::HasSubstr;

TEST(RestoreJobTest, ComesBackAsItWasWritten) {
  const cryopod::test::TempDirectory temp;
  EXPECT_THAT(ReadRestoreJob(temp.path()), StatusIs(Code::kNotFound));
  ASSERT_TRUE(WriteFileOf(temp.path(), kRequestFile, test::SampleRestoreJob()).ok());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const RestoreJob read, ReadRestoreJob(temp.path()));

  EXPECT_EQ(ToText(read), ToText(test::SampleRestoreJob()));
  EXPECT_EQ(read.hold, std::chrono::milliseconds(250));
}

TEST(RestoreJobTest, WhatIsWrongIsNamed) {
  const std::pair<const char*, json> wrong[] = {{"archive", 7},
                                                {"archive", ""},
                                                {"pod_uid", "../../etc"},
                                                {"operation_id", "a/b"},
                                                {"hold_ms", "soon"},
                                                {"hold_ms", -1},
                                                {"idle_timeout_s", 1'000'000},
                                                {"store_root", "rel"},
                                                {"staging_dir", "rel"},
                                                {"unpack_program", "cryopod-unpack"}};
  for (const auto& [name, value] : wrong) {
    json object = json::parse(ToText(test::SampleRestoreJob()));
    object[name] = value;

    EXPECT_THAT(FromText<RestoreJob>(object.dump(), kRequestFile),
                StatusIs(Code::kDataLoss, HasSubstr(name)))
        << value;
  }
}

}  // namespace
}  // namespace cryopod::jobs
