#include "agent/jobs/pod_journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "agent/jobs/job_directory.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::StatusIs;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class RestoreJournalTest : public ::testing::Test {
 protected:
  RestoreJournalTest() {
    config_.run_dir = temp_.path();
    std::filesystem::create_directories(config_.jobs_dir());
  }
  static jobs::RestoreJournal Sample() {
    jobs::RestoreJournal journal;
    journal.operation_id = "p-1";
    journal.restore_operation = "b6f1";
    journal.archive = "web-1";
    journal.pod_uid = "u-1";
    journal.pod_namespace = "shop";
    journal.pod_name = "web";
    journal.containers = {"app", "side\"car"};
    return journal;
  }
  void Write(const char* file, const std::string& text) const {
    std::ofstream(config_.jobs_dir() + "/p-1/" + file) << text;
  }

  cryopod::test::TempDirectory temp_;
  settings::AgentSettings config_;
};

TEST_F(RestoreJournalTest, WhatWasWrittenIsReadWithoutASandboxAndWithIt) {
  jobs::RestoreJournal journal = Sample();
  ASSERT_THAT(jobs::BeginRestoreJournal(config_, journal), IsOk());
  EXPECT_THAT(jobs::ReadRestoreJournal(config_, "p-1"), IsOkAnd(journal));

  journal.sandbox_id = "5a4d";
  ASSERT_THAT(jobs::RecordSandbox(config_, journal), IsOk());

  EXPECT_THAT(jobs::ReadRestoreJournal(config_, "p-1"), IsOkAnd(journal));
}

TEST_F(RestoreJournalTest, ItIsListedAsAPodsJobAndIsForRootAlone) {
  ASSERT_THAT(jobs::BeginRestoreJournal(config_, Sample()), IsOk());

  EXPECT_THAT(jobs::ListJobs(config_.jobs_dir(), jobs::kPodJobPrefix),
              IsOkAnd(::testing::ElementsAre("p-1")));
  struct stat status {};
  ASSERT_EQ(::stat((config_.jobs_dir() + "/p-1/request.json").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(RestoreJournalTest, AnIdIsUsedOnceAndANewOneTellsItsKind) {
  ASSERT_THAT(jobs::BeginRestoreJournal(config_, Sample()), IsOk());

  EXPECT_THAT(jobs::BeginRestoreJournal(config_, Sample()), StatusIs(Code::kAlreadyExists));

  EXPECT_THAT(jobs::NewPodJobId(), StartsWith(jobs::kPodJobPrefix));
  EXPECT_NE(jobs::NewPodJobId(), jobs::NewPodJobId());
}

TEST_F(RestoreJournalTest, AJobWithoutARequestIsNotFound) {
  std::filesystem::create_directory(config_.jobs_dir() + "/p-1");

  EXPECT_THAT(jobs::ReadRestoreJournal(config_, "p-1"), StatusIs(Code::kNotFound));
}

TEST_F(RestoreJournalTest, DamagedFilesAreNamed) {
  ASSERT_THAT(jobs::BeginRestoreJournal(config_, Sample()), IsOk());
  for (const char* text : {"", "[]", "{\"sandbox_id\":7}"}) {
    Write("journal.json", text);
    EXPECT_THAT(jobs::ReadRestoreJournal(config_, "p-1"),
                StatusIs(Code::kDataLoss, HasSubstr("journal.json")))
        << text;
  }
  std::filesystem::remove(config_.jobs_dir() + "/p-1/journal.json");
  for (const char* text : {"\xff", "{}", R"({"restore_operation":"x","archive":"a"})"}) {
    Write("request.json", text);
    EXPECT_THAT(jobs::ReadRestoreJournal(config_, "p-1"),
                StatusIs(Code::kDataLoss, HasSubstr("request.json")))
        << text;
  }
}

TEST_F(RestoreJournalTest, WithoutItsOwnAnnotationNoPodCouldBeToldToBeOurs) {
  jobs::RestoreJournal journal = Sample();
  journal.restore_operation.clear();
  ASSERT_THAT(jobs::BeginRestoreJournal(config_, journal), IsOk());

  EXPECT_THAT(jobs::ReadRestoreJournal(config_, "p-1"), StatusIs(Code::kDataLoss));
}

}  // namespace
}  // namespace cryopod::daemon
