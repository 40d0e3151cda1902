#include "agent/jobs/job_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/pod_journal.h"
#include "agent/jobs/restore_job.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/jobs/sample_jobs.h"

namespace cryopod::jobs {
namespace {

using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::StatusIs;
using cryopod::test::WriteText;
using nlohmann::json;
using ::testing::HasSubstr;

// One file of a job: written as we write it, and read whatever stands in it.
struct JobFile {
  const char* name;
  std::string text;
  std::vector<const char*> needed;  // what it means nothing without
  // The text again, out of what was read.
  std::function<Result<std::string>(const std::string& text)> read;
};

template <typename T>
Result<std::string> ReadAndWrite(const std::string& text) {
  CRYOPOD_ASSIGN_OR_RETURN(const T content, FromText<T>(text, "file"));
  return ToText(content);
}

std::vector<JobFile> AllFiles() {
  return {
      {"request of a checkpoint",
       ToText(test::SampleCheckpointJob()),
       {"kind", "operation_id", "archive", "sandbox_id", "pod_name", "pod_namespace", "containers",
        "runtime_root", "store_root", "state_dir"},
       ReadAndWrite<CheckpointJob>},
      {"request of a restore",
       ToText(test::SampleRestoreJob()),
       {"kind", "operation_id", "archive", "pod_uid", "restore_from", "store_root", "state_dir",
        "unpack_program", "staging_dir"},
       ReadAndWrite<RestoreJob>},
      {"process",
       ToText(ProcessIdentity{11, 12}),
       {"pid", "start_ticks"},
       ReadAndWrite<ProcessIdentity>},
      {"journal",
       ToText(test::SampleJournal()),
       {"cgroups", "criu", "inits"},
       ReadAndWrite<Journal>},
      {"result", ToText(test::SampleResult()), {"status"}, ReadAndWrite<CheckpointResult>},
      {"report", ToText(test::SampleReport()), {"stage", "containers"}, ReadAndWrite<Report>},
  };
}

bool IsNeeded(const JobFile& file, const std::string& member) {
  return std::ranges::find(file.needed, member) != file.needed.end();
}

TEST(JobFileTest, EveryFileComesBackAsItWasAndSaysItsFormatAndFromWhichOnItIsUnderstood) {
  for (const JobFile& file : AllFiles()) {
    const json document = json::parse(file.text);
    EXPECT_EQ(document.at("format"), kFormat) << file.name;
    EXPECT_EQ(document.at("readable_from"), kReadableFrom) << file.name;
    EXPECT_THAT(file.read(file.text), IsOkAnd(file.text)) << file.name;
  }
}

TEST(JobFileTest, NoMemberIsForgotten) {
  EXPECT_THAT(FromText<CheckpointJob>(ToText(test::SampleCheckpointJob()), kRequestFile),
              IsOkAnd(test::SampleCheckpointJob()));
  EXPECT_THAT(FromText<Journal>(ToText(test::SampleJournal()), kJournalFile),
              IsOkAnd(test::SampleJournal()));
  EXPECT_EQ(FromText<Report>(ToText(test::SampleReport()), kStateFile)->containers,
            test::SampleReport().containers);
  EXPECT_THAT(FromText<CheckpointResult>(ToText(CheckpointResult()), kResultFile)->status, IsOk());
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
      const Status read = file.read(document.dump()).status();
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
      const Status read = file.read(document.dump()).status();
      EXPECT_THAT(read, StatusIs(Code::kUnimplemented, HasSubstr("format"))) << file.name;
      EXPECT_TRUE(IsNotUnderstood(read)) << file.name;
    }
  }
}

TEST(JobFileTest, ARequestOfAnotherKindIsNotUnderstood) {
  EXPECT_TRUE(IsNotUnderstood(
      FromText<RestoreJob>(ToText(test::SampleCheckpointJob()), kRequestFile).status()));
}

TEST(JobFileTest, AnElementWithoutWhatItNeedsIsNamedWithItsPlace) {
  json job = json::parse(ToText(test::SampleCheckpointJob()));
  job["containers"][1].erase("id");
  EXPECT_THAT(FromText<CheckpointJob>(job.dump(), kRequestFile),
              StatusIs(Code::kDataLoss, HasSubstr("request.json: containers[1]: id: missing")));

  json journal = json::parse(ToText(test::SampleJournal()));
  journal["criu"][1].erase("start_ticks");
  EXPECT_THAT(FromText<Journal>(journal.dump(), kJournalFile),
              StatusIs(Code::kDataLoss, HasSubstr("criu[1]: start_ticks")));
}

TEST(JobFileTest, BytesThatAreNoUtf8StillMakeAFile) {
  CheckpointJob job = test::SampleCheckpointJob();
  job.pod_name = "bad \xff byte";

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const CheckpointJob read,
                               FromText<CheckpointJob>(ToText(job), kRequestFile));

  EXPECT_THAT(read.pod_name, HasSubstr("bad "));
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

TEST(CheckpointResultTest, ACodeThatNobodyKnowsIsAnErrorAndWithoutAReasonItIsThatOfItsCode) {
  json result = json::parse(ToText(test::SampleResult()));
  result["status"].erase("reason");
  EXPECT_EQ(FromText<CheckpointResult>(result.dump(), kResultFile)->status.reason(),
            Reason::kRefused);

  result["status"]["code"] = "A_NEW_CODE";
  EXPECT_THAT(FromText<CheckpointResult>(result.dump(), kResultFile)->status,
              StatusIs(Code::kUnknown));
}

template <typename Enum>
void ExpectANameOfItsOwn(Enum last, std::string_view (*name_of)(Enum)) {
  std::set<std::string_view> names;
  for (int number = 0; number <= static_cast<int>(last); ++number) {
    names.insert(name_of(static_cast<Enum>(number)));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(last) + 1);
}

TEST(RestoreReportTest, EveryPhaseAndStageHasANameOfItsOwn) {
  ExpectANameOfItsOwn(Phase::kColdStarted, PhaseName);
  ExpectANameOfItsOwn(Stage::kAbandoned, StageName);
}

TEST(RestoreReportTest, AStageOrPhaseThatNobodyKnowsIsNotUnderstood) {
  for (const char* text :
       {R"({"format":1,"stage":"lost","containers":[]})",
        R"({"format":1,"stage":"serving","containers":[7]})",
        R"({"format":1,"stage":"serving","containers":[{"name":"a","state":"asleep"}]})"}) {
    EXPECT_TRUE(IsNotUnderstood(FromText<Report>(text, kStateFile).status())) << text;
  }
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

TEST(PodJournalTest, AnAbsentOneIsNotFoundADamagedOneOrOneOfNobodyNotUnderstood) {
  const cryopod::test::TempDirectory jobs;
  std::filesystem::create_directory(jobs.path() / "p-1");
  EXPECT_THAT(ReadPodJournal(jobs.path(), "p-1"), StatusIs(Code::kNotFound));
  // Without its own annotation no pod could be told to be ours.
  ASSERT_THAT(BeginPodJournal(jobs.path(), {"p-2", "", "a", "u", "shop", "web", {}, ""}), IsOk());
  EXPECT_TRUE(IsNotUnderstood(ReadPodJournal(jobs.path(), "p-2").status()));
  ASSERT_THAT(BeginPodJournal(jobs.path(), {"p-3", "op", "a", "u", "shop", "web", {}, ""}), IsOk());
  for (const char* text : {"", "[]", R"({"format":1,"sandbox_id":7})"}) {
    WriteText(jobs.path() / "p-3" / kJournalFile, text);
    EXPECT_TRUE(IsNotUnderstood(ReadPodJournal(jobs.path(), "p-3").status())) << text;
  }
}

}  // namespace
}  // namespace cryopod::jobs
