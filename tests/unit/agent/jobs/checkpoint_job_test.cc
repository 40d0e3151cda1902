#include "agent/jobs/checkpoint_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "agent/jobs/job_file.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/agent/jobs/sample_jobs.h"

namespace cryopod::jobs {
namespace {

using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::StatusIs;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(CheckpointJobTest, ComesBackAsItWasWritten) {
  const CheckpointJob job = test::SampleCheckpointJob();

  EXPECT_THAT(FromText<CheckpointJob>(ToText(job), kRequestFile), IsOkAnd(job));
}

TEST(CheckpointJobTest, TextThatIsNoUtf8StillMakesAJob) {
  CheckpointJob job = test::SampleCheckpointJob();
  job.pod_name = "bad \xff byte";

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const CheckpointJob read,
                               FromText<CheckpointJob>(ToText(job), kRequestFile));

  EXPECT_THAT(read.pod_name, HasSubstr("bad "));
}

TEST(CheckpointJobTest, AContainerWithoutItsIdIsNamed) {
  json job = json::parse(ToText(test::SampleCheckpointJob()));
  job["containers"][1].erase("id");

  EXPECT_THAT(FromText<CheckpointJob>(job.dump(), kRequestFile),
              StatusIs(Code::kDataLoss, HasSubstr("request.json: containers[1]: id: missing")));
}

TEST(JournalTest, ComesBackAsItWasWritten) {
  EXPECT_THAT(FromText<Journal>(ToText(test::SampleJournal()), kJournalFile),
              IsOkAnd(test::SampleJournal()));
  EXPECT_THAT(FromText<Journal>(ToText(Journal()), kJournalFile), IsOkAnd(Journal()));
}

TEST(JournalTest, AProcessWithoutItsStartTimeIsNoIdentity) {
  json journal = json::parse(ToText(test::SampleJournal()));
  journal["criu"][1].erase("start_ticks");

  EXPECT_THAT(FromText<Journal>(journal.dump(), kJournalFile),
              StatusIs(Code::kDataLoss, HasSubstr("criu[1]: start_ticks")));
}

TEST(CheckpointResultTest, ComesBackWithItsStatus) {
  const CheckpointResult result = test::SampleResult();

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const CheckpointResult read,
                               FromText<CheckpointResult>(ToText(result), kResultFile));

  EXPECT_EQ(ToText(read), ToText(result));
  EXPECT_EQ(read.status.code(), Code::kFailedPrecondition);
  EXPECT_EQ(read.status.message(), result.status.message());
  EXPECT_EQ(read.status.reason(), Reason::kIoUring);
  ASSERT_THAT(read.dumps, SizeIs(1));
  EXPECT_EQ(read.dumps[0].memwrite_us, 10u);
  EXPECT_TRUE(read.source_killed);
  EXPECT_THAT(FromText<CheckpointResult>(ToText(CheckpointResult()), kResultFile)->status, IsOk());
}

TEST(CheckpointResultTest, ACodeThatNobodyKnowsIsAnErrorAllTheSame) {
  json result = json::parse(ToText(CheckpointResult()));
  result["status"]["code"] = "A_NEW_CODE";

  EXPECT_THAT(FromText<CheckpointResult>(result.dump(), kResultFile)->status,
              StatusIs(Code::kUnknown));
}

TEST(CheckpointResultTest, WithoutAReasonItIsThatOfItsCode) {
  json result = json::parse(ToText(test::SampleResult()));
  result["status"].erase("reason");

  EXPECT_EQ(FromText<CheckpointResult>(result.dump(), kResultFile)->status.reason(),
            Reason::kRefused);
}

}  // namespace
}  // namespace cryopod::jobs
