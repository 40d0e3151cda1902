// Files of jobs as they were once written, which no change may make unreadable: whoever raises
// kReadableFrom or kOldestFormat gives up the jobs of a node whose agent is replaced meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/job_events.h"
#include "agent/jobs/job_file.h"
#include "agent/jobs/pod_journal.h"
#include "agent/jobs/restore_job.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::jobs {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

const fs::path kStored = CRYOPOD_STORED_JOBS;

template <typename T>
T Read(const char* name) {
  Result<T> read = ReadFileOf<T>(kStored, name);
  EXPECT_TRUE(read.ok()) << read.status().message();
  return read.ok() ? std::move(read).value() : T();
}

TEST(StoredJobTest, ACheckpointOfFormatOneIsUnderstood) {
  const auto job = Read<CheckpointJob>("checkpoint-request.json");
  EXPECT_EQ(job.operation_id, "c-20261124-221502-1a2b3c4d");
  ASSERT_EQ(job.containers.size(), 1u);
  EXPECT_EQ(job.containers[0].mounts.at(0).source, "/var/lib/kubelet/x");
  EXPECT_EQ(job.finished.at(0).name, "setup");
  EXPECT_TRUE(job.stop_source);
  EXPECT_EQ(job.timeout_s, 17u);
  EXPECT_EQ(Read<ProcessIdentity>("process.json"), (ProcessIdentity{11, 12345678901}));
  const auto journal = Read<Journal>("journal.json");
  EXPECT_THAT(journal.cgroups, ElementsAre("/sys/fs/cgroup/a"));
  EXPECT_EQ(journal.criu.at(0).pid, 11);
  EXPECT_EQ(journal.disk_staging, "/var/lib/cryopod/staging/x");
  const auto result = Read<CheckpointResult>("result.json");
  EXPECT_EQ(result.status.reason(), Reason::kIoUring);
  EXPECT_EQ(result.dumps.at(0).memwrite_us, 10u);
  EXPECT_EQ(result.phases.at(0).duration_us, 4u);
  EXPECT_TRUE(result.source_killed);
  size_t offset = 0;
  EXPECT_THAT(ReadNewEvents(kStored, offset),
              ElementsAre(JobEvent{"freeze", "", 0, 0}, JobEvent{"archive", "app", 5, 10}));
}

TEST(StoredJobTest, ARestoreOfFormatOneIsUnderstood) {
  const auto job = Read<RestoreJob>("restore-request.json");
  EXPECT_EQ(job.restore_operation, "op");
  EXPECT_EQ(job.hold, std::chrono::milliseconds(250));
  const auto report = Read<Report>("state.json");
  EXPECT_EQ(report.stage, Stage::kServing);
  EXPECT_EQ(report.error.reason(), Reason::kUnknownVersion);
  EXPECT_EQ(report.containers.at(0).phase, Phase::kHeld);
  EXPECT_EQ(report.containers.at(0).start_time_ticks, 123456789u);
}

TEST(StoredJobTest, APodOfFormatOneIsUnderstood) {
  const cryopod::test::TempDirectory jobs;
  fs::create_directory(jobs.path() / "p-1");
  fs::copy(kStored / "pod-request.json", jobs.path() / "p-1/request.json");
  fs::copy(kStored / "pod-journal.json", jobs.path() / "p-1/journal.json");

  EXPECT_THAT(ReadPodJournal(jobs.path(), "p-1"),
              cryopod::test::IsOkAnd(
                  PodJournal{"p-1", "op", "a", "u-1", "shop", "web", {"app", "db"}, "s1"}));
}

}  // namespace
}  // namespace cryopod::jobs
