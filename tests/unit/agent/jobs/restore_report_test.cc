#include "agent/jobs/restore_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "agent/os/file.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::restore {
namespace {

Report Sample() {
  ContainerReport app;
  app.name = "app";
  app.id = "c1";
  app.phase = Phase::kHeld;
  app.pid = 4711;
  app.start_time_ticks = 123'456'789;
  app.state_dir = "/run/runc/c1";
  app.rootfs = "/bundle/rootfs";
  app.cgroup_dir = "/sys/fs/cgroup/c1";
  app.uts_path = "/proc/1/ns/uts";
  app.hostname = "web";
  ContainerReport sidecar;
  sidecar.name = "sidecar";
  sidecar.phase = Phase::kFailed;
  sidecar.reason = "it \"failed\"\n";
  sidecar.reason_code = Reason::kAddress;
  Report report;
  report.stage = Stage::kServing;
  report.error = Status(Code::kNotFound, "no archive", Reason::kUnknownVersion);
  report.containers = {app, sidecar};
  return report;
}

TEST(RestoreReportTest, ComesBackAsItWasWritten) {
  const Report report = Sample();

  const Result<Report> read = ParseReport(ToJson(report));

  ASSERT_THAT(read, test::IsOk());
  EXPECT_EQ(read->stage, report.stage);
  EXPECT_EQ(read->error.code(), Code::kNotFound);
  EXPECT_EQ(read->error.message(), "no archive");
  EXPECT_EQ(read->error.reason(), Reason::kUnknownVersion);
  EXPECT_EQ(read->containers, report.containers);
}

TEST(RestoreReportTest, EveryPhaseAndStageHasANameOfItsOwn) {
  for (int number = 0; number <= static_cast<int>(Phase::kColdStarted); ++number) {
    Report report;
    report.containers.resize(1);
    report.containers[0].phase = static_cast<Phase>(number);
    const Result<Report> read = ParseReport(ToJson(report));
    ASSERT_THAT(read, test::IsOk());
    EXPECT_EQ(read->containers[0].phase, report.containers[0].phase);
  }
  for (int number = 0; number <= static_cast<int>(Stage::kAbandoned); ++number) {
    Report report;
    report.stage = static_cast<Stage>(number);
    const Result<Report> read = ParseReport(ToJson(report));
    ASSERT_THAT(read, test::IsOk());
    EXPECT_EQ(read->stage, report.stage);
  }
}

TEST(RestoreReportTest, HasTheNamesThatTheAgentReads) {
  const nlohmann::json json = nlohmann::json::parse(ToJson(Sample()));

  EXPECT_EQ(json["stage"], "serving");
  EXPECT_EQ(json["error"]["code"], "NOT_FOUND");
  EXPECT_EQ(json["containers"][0]["state"], "held");
  EXPECT_EQ(json["containers"][0]["pid"], 4711);
  EXPECT_EQ(json["containers"][1]["state"], "failed");
}

TEST(RestoreReportTest, BytesThatAreNoUtf8DoNotBreakIt) {
  Report report = Sample();
  report.containers[0].reason = "\xff\xfe";

  EXPECT_THAT(ParseReport(ToJson(report)), test::IsOk());
}

TEST(RestoreReportTest, RubbishIsNoReport) {
  for (const char* text : {"", "[]", "{}", R"({"stage":"lost","containers":[]})",
                           R"({"stage":"serving"})", R"({"stage":"serving","containers":[7]})",
                           R"({"stage":"serving","containers":[{"state":"asleep"}]})"}) {
    EXPECT_THAT(ParseReport(text), test::StatusIs(Code::kDataLoss)) << text;
  }
}

TEST(RestoreReportTest, IsWrittenIntoTheJobsDirectory) {
  test::TempDirectory temp;
  Result<UniqueFd> dir = OpenDirectory(temp.path().string());
  ASSERT_THAT(dir, test::IsOk());
  EXPECT_THAT(ReadReport(temp.path().string()), test::StatusIs(Code::kNotFound));

  ASSERT_THAT(WriteReport(dir->get(), Sample()), test::IsOk());

  EXPECT_THAT(ReadReport(temp.path().string()), test::IsOk());
}

}  // namespace
}  // namespace cryopod::restore
