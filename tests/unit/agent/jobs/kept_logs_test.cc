#include "agent/jobs/kept_logs.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "agent/os/directory.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::jobs {
namespace {

namespace fs = std::filesystem;
using cryopod::test::ReadText;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class KeptLogsTest : public ::testing::Test {
 protected:
  void WriteLog(const fs::path& path, const std::string& text) const {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const LogFile& log : FindLogs(job_, state_, "c-1")) names.push_back(log.name);
    return names;
  }

  cryopod::test::TempDirectory temp_;
  const fs::path job_ = temp_.path() / "job";
  const fs::path state_ = temp_.path() / "state";
};

TEST_F(KeptLogsTest, LogsOfDumpsAndRestoresAreFoundWhereverTheJobHasThem) {
  WriteLog(job_ / "staging/app.work/dump.log", "a");
  WriteLog(job_ / "staging/app.images/core-1.img", "memory");
  WriteLog(state_ / "staging/c-1/db.work/dump.log", "b");
  WriteLog(job_ / "attempts/app-2/restore.log", "c");

  EXPECT_THAT(Names(), ElementsAre("app.dump.log", "db.dump.log", "app-2.restore.log"));
}

TEST_F(KeptLogsTest, WhatWasKeptIsFoundWhenTheJobIsGone) {
  WriteLog(job_ / "staging/app.work/dump.log", "why it failed");

  KeepLogs(job_, state_, "c-1");
  fs::remove_all(job_);

  ASSERT_THAT(Names(), ElementsAre("app.dump.log"));
  EXPECT_EQ(ReadText(state_ / "logs/c-1/app.dump.log"), "why it failed");
  struct stat status {};
  ASSERT_EQ(::stat((state_ / "logs/c-1/app.dump.log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST_F(KeptLogsTest, AJobWithoutLogsKeepsNone) {
  KeepLogs(job_, state_, "c-1");

  EXPECT_THAT(Names(), IsEmpty());
  EXPECT_FALSE(fs::exists(state_ / "logs"));
}

TEST_F(KeptLogsTest, OfALogThatIsTooLongTheEndIsKept) {
  WriteLog(job_ / "staging/app.work/dump.log", std::string(kLogBytesMax, 'x') + "the last line\n");

  KeepLogs(job_, state_, "c-1");

  const std::string kept = ReadText(state_ / "logs/c-1/app.dump.log");
  EXPECT_EQ(kept.size(), kLogBytesMax);
  EXPECT_THAT(kept, ::testing::EndsWith("the last line\n"));
}

TEST_F(KeptLogsTest, OnlyTheNewestTwentyOperationsStay) {
  for (int i = 0; i < 30; ++i) {
    // The younger, the smaller the name: age decides.
    const fs::path log = state_ / "logs" / ("c-" + std::to_string(100 - i));
    WriteLog(log / "app.dump.log", "x");
    const timespec times[2] = {{1'000'000 + i, 0}, {1'000'000 + i, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, log.c_str(), times, 0), 0);
  }
  WriteLog(job_ / "staging/app.work/dump.log", "new");

  KeepLogs(job_, state_, "c-new");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::vector<DirectoryEntry> left,
                               ListDirectory(state_ / "logs"));
  EXPECT_EQ(left.size(), kKeptLogsMax);
  EXPECT_TRUE(fs::exists(state_ / "logs/c-new"));
  EXPECT_TRUE(fs::exists(state_ / "logs/c-71")) << "the youngest of the old ones";
  EXPECT_FALSE(fs::exists(state_ / "logs/c-90"));
}

}  // namespace
}  // namespace cryopod::jobs
