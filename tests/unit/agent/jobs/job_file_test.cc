#include "agent/jobs/job_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/pod_journal.h"
#include "agent/jobs/restore_job.h"
#include "agent/jobs/restore_report.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/jobs/sample_jobs.h"

namespace cryopod::jobs {
namespace {

using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::ReadText;
using cryopod::test::StatusIs;
using cryopod::test::WriteText;
using nlohmann::json;
using ::testing::HasSubstr;

// One file of a job: written as we write it, and read whatever stands in it.
struct JobFile {
  const char* name;
  std::string text;
  std::vector<const char*> needed;  // what it means nothing without
  std::function<Status(const std::string& text)> read;
};

template <typename T>
std::function<Status(const std::string&)> Reader() {
  return [](const std::string& text) { return FromText<T>(text, "file").status(); };
}

std::vector<JobFile> AllFiles() {
  return {
      {"request of a checkpoint",
       ToText(test::SampleCheckpointJob()),
       {"kind", "operation_id", "archive", "sandbox_id", "pod_name", "pod_namespace", "containers",
        "runtime_root", "store_root", "state_dir"},
       Reader<CheckpointJob>()},
      {"request of a restore",
       ToText(test::SampleRestoreJob()),
       {"kind", "operation_id", "archive", "pod_uid", "restore_from", "store_root", "state_dir",
        "unpack_program", "staging_dir"},
       Reader<RestoreJob>()},
      {"process",
       ToText(ProcessIdentity{11, 12}),
       {"pid", "start_ticks"},
       Reader<ProcessIdentity>()},
      {"journal", ToText(test::SampleJournal()), {"cgroups", "criu", "inits"}, Reader<Journal>()},
      {"result", ToText(test::SampleResult()), {"status"}, Reader<CheckpointResult>()},
      {"report", ToText(test::SampleReport()), {"stage", "containers"}, Reader<Report>()},
  };
}

bool IsNeeded(const JobFile& file, const std::string& member) {
  return std::find(file.needed.begin(), file.needed.end(), member) != file.needed.end();
}

TEST(JobFileTest, EveryFileSaysItsFormatAndFromWhichOnReadersUnderstandIt) {
  for (const JobFile& file : AllFiles()) {
    const json document = json::parse(file.text);
    EXPECT_EQ(document.at("format"), kFormat) << file.name;
    EXPECT_EQ(document.at("readable_from"), kReadableFrom) << file.name;
    EXPECT_THAT(file.read(file.text), IsOk()) << file.name;
  }
}

TEST(JobFileTest, WhatANewerNeighbourAddsIsIgnoredInEveryFile) {
  for (const JobFile& file : AllFiles()) {
    json document = json::parse(file.text);
    document["format"] = kFormat + 1;
    document["readable_from"] = kFormat;
    document["a_new_member"] = {{"of", "a"}, {"new", json::array({"kind"})}};
    EXPECT_THAT(file.read(document.dump()), IsOk()) << file.name;
  }
}

TEST(JobFileTest, WhatAnOlderNeighbourDoesNotWriteHasItsDefaultInEveryFile) {
  for (const JobFile& file : AllFiles()) {
    json document = json::parse(file.text);
    const json whole = document;
    for (const auto& [member, value] : whole.items()) {
      if (member != "format" && !IsNeeded(file, member)) document.erase(member);
    }
    EXPECT_THAT(file.read(document.dump()), IsOk()) << file.name;
  }
}

TEST(JobFileTest, WhatAFileMeansNothingWithoutIsNamed) {
  for (const JobFile& file : AllFiles()) {
    for (const char* member : file.needed) {
      json document = json::parse(file.text);
      document.erase(member);
      const Status read = file.read(document.dump());
      EXPECT_THAT(read, StatusIs(Code::kDataLoss, HasSubstr(member))) << file.name;
      EXPECT_TRUE(IsNotUnderstood(read));
    }
  }
}

TEST(JobFileTest, AFileWithoutAFormatOrOfOneThatHasOtherMeaningsIsNotUnderstood) {
  for (const JobFile& file : AllFiles()) {
    json without = json::parse(file.text);
    without.erase("format");
    without.erase("readable_from");
    json newer = json::parse(file.text);
    newer["format"] = kFormat + 2;
    newer["readable_from"] = kFormat + 1;
    for (const json& document : {without, newer}) {
      const Status read = file.read(document.dump());
      EXPECT_THAT(read, StatusIs(Code::kUnimplemented, HasSubstr("format"))) << file.name;
      EXPECT_TRUE(IsNotUnderstood(read)) << file.name;
    }
  }
}

TEST(JobFileTest, ARequestOfAnotherKindIsNotUnderstood) {
  EXPECT_TRUE(IsNotUnderstood(
      FromText<RestoreJob>(ToText(test::SampleCheckpointJob()), kRequestFile).status()));
}

TEST(JobFileTest, RubbishNamesItsFile) {
  for (const char* text : {"", "{", "[]", "\xff", "{}x"}) {
    const Status read = FromText<Journal>(text, kJournalFile).status();
    EXPECT_THAT(read, ::testing::AnyOf(StatusIs(Code::kDataLoss, HasSubstr(kJournalFile)),
                                       StatusIs(Code::kUnimplemented, HasSubstr(kJournalFile))))
        << text;
  }
}

TEST(JobFileTest, IsWrittenWholeAndForRootAlone) {
  const cryopod::test::TempDirectory temp;

  ASSERT_THAT(WriteFileOf(temp.path(), kJournalFile, test::SampleJournal()), IsOk());

  struct stat status {};
  ASSERT_EQ(::stat((temp.path() / kJournalFile).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_THAT(ReadFileOf<Journal>(temp.path(), kJournalFile), IsOkAnd(test::SampleJournal()));
  EXPECT_THAT(ReadFileOf<Journal>(temp.path(), kResultFile), StatusIs(Code::kNotFound));
  EXPECT_FALSE(IsNotUnderstood(ReadFileOf<Journal>(temp.path(), kResultFile).status()));
}

TEST(PodJournalTest, ComesBackWithItsSandboxOnceThatIsKnown) {
  const cryopod::test::TempDirectory jobs;
  const PodJournal journal{"p-1", "op", "a", "u-1", "shop", "web", {"app", "db"}, ""};

  ASSERT_THAT(BeginPodJournal(jobs.path(), journal), IsOk());
  EXPECT_THAT(ReadPodJournal(jobs.path(), "p-1"), IsOkAnd(journal));
  EXPECT_THAT(BeginPodJournal(jobs.path(), journal), StatusIs(Code::kAlreadyExists));

  PodJournal known = journal;
  known.sandbox_id = "s1";
  ASSERT_THAT(RecordSandbox(jobs.path(), known), IsOk());
  EXPECT_THAT(ReadPodJournal(jobs.path(), "p-1"), IsOkAnd(known));
}

TEST(PodJournalTest, WithoutItsOwnAnnotationNoPodCouldBeToldToBeOurs) {
  const cryopod::test::TempDirectory jobs;
  ASSERT_THAT(BeginPodJournal(jobs.path(), {"p-1", "", "a", "u", "shop", "web", {}, ""}), IsOk());

  EXPECT_TRUE(IsNotUnderstood(ReadPodJournal(jobs.path(), "p-1").status()));
}

TEST(PodJournalTest, ADamagedFileIsNotUnderstoodAndAnAbsentOneNotFound) {
  const cryopod::test::TempDirectory jobs;
  std::filesystem::create_directory(jobs.path() / "p-1");
  EXPECT_THAT(ReadPodJournal(jobs.path(), "p-1"), StatusIs(Code::kNotFound));
  std::filesystem::remove(jobs.path() / "p-1");
  ASSERT_THAT(BeginPodJournal(jobs.path(), {"p-1", "op", "a", "u", "shop", "web", {}, ""}), IsOk());
  for (const char* text : {"", "[]", R"({"format":1,"sandbox_id":7})"}) {
    WriteText(jobs.path() / "p-1" / kJournalFile, text);
    EXPECT_TRUE(IsNotUnderstood(ReadPodJournal(jobs.path(), "p-1").status())) << text;
  }
}

}  // namespace
}  // namespace cryopod::jobs
