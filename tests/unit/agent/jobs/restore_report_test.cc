#include "agent/jobs/restore_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/jobs/job_file.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/agent/jobs/sample_jobs.h"

namespace cryopod::jobs {
namespace {

Result<Report> ReadBack(const Report& report) {
  return FromText<Report>(ToText(report), kStateFile);
}

TEST(RestoreReportTest, ComesBackAsItWasWritten) {
  const Report report = test::SampleReport();

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Report read, ReadBack(report));

  EXPECT_EQ(read.stage, report.stage);
  EXPECT_EQ(read.error.code(), Code::kNotFound);
  EXPECT_EQ(read.error.message(), "no archive");
  EXPECT_EQ(read.error.reason(), Reason::kUnknownVersion);
  EXPECT_EQ(read.containers, report.containers);
}

TEST(RestoreReportTest, EveryPhaseAndStageHasANameOfItsOwn) {
  for (int number = 0; number <= static_cast<int>(Phase::kColdStarted); ++number) {
    Report report;
    report.containers.resize(1);
    report.containers[0].phase = static_cast<Phase>(number);
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const Report read, ReadBack(report));
    EXPECT_EQ(read.containers[0].phase, report.containers[0].phase);
  }
  for (int number = 0; number <= static_cast<int>(Stage::kAbandoned); ++number) {
    Report report;
    report.stage = static_cast<Stage>(number);
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const Report read, ReadBack(report));
    EXPECT_EQ(read.stage, report.stage);
  }
}

TEST(RestoreReportTest, BytesThatAreNoUtf8DoNotBreakIt) {
  Report report = test::SampleReport();
  report.containers[0].reason = "\xff\xfe";

  EXPECT_TRUE(ReadBack(report).ok());
}

TEST(RestoreReportTest, AStageOrPhaseThatNobodyKnowsIsNotUnderstood) {
  for (const char* text :
       {R"({"format":1,"stage":"lost","containers":[]})",
        R"({"format":1,"stage":"serving","containers":[7]})",
        R"({"format":1,"stage":"serving","containers":[{"name":"a","state":"asleep"}]})"}) {
    EXPECT_TRUE(IsNotUnderstood(FromText<Report>(text, kStateFile).status())) << text;
  }
}

}  // namespace
}  // namespace cryopod::jobs
