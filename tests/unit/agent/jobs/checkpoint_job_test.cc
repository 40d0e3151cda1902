#include "agent/jobs/checkpoint_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::checkpoint {
namespace {

using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::StatusIs;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

CheckpointJob SampleJob() {
  CheckpointJob job;
  job.operation_id = "c-20261124-221502-1a2b3c4d";
  job.archive = "default_web_20261124T221502Z";
  job.sandbox_id = "abc";
  job.pod_name = "web";
  job.pod_namespace = "default";
  job.pod_uid = "1234";
  job.runtime_handler = "cryopod";
  job.sandbox_config_json = R"({"metadata":{"name":"web \" ü"}})";
  job.runtime_name = "containerd";
  job.runtime_version = "2.1.9";
  job.containers = {{"app",
                     "id1",
                     "image:1",
                     "sha256:1",
                     1'700'000'000'123'456'789,
                     "{}",
                     "{}",
                     {{"/data", "/var/lib/kubelet/x", true}, {"/etc/hosts", "/hosts", false}}},
                    {"sidecar", "id2", "image:2", "sha256:2", -1, "{\"a\":1}", "{}", {}}};
  job.finished = {{"setup", "image:3", "sha256:3"}};
  job.runtime_root = "/run/containerd/runc/k8s.io";
  job.store_root = "/var/lib/cryopod/archives";
  job.state_dir = "/var/lib/cryopod";
  job.criu_program = "criu";
  job.criu_tools_dir = "/opt/cryopod/libexec/cryopod/criu-tools";
  job.stop_source = true;
  job.without_volumes = true;
  job.timeout_s = 300;
  return job;
}

Journal SampleJournal() {
  return {{"/sys/fs/cgroup/a", "/sys/fs/cgroup/b"},
          {{11, 12345678901}, {12, 2}},
          {{21, 3}},
          "/var/lib/cryopod/staging/x"};
}

JobResult SampleResult() {
  JobResult result;
  result.status =
      Status(Code::kFailedPrecondition, "the pod is \"busy\"\nreally", Reason::kIoUring);
  result.archive = "a";
  result.digest = "sha256:00";
  result.size_bytes = uint64_t{1} << 60;
  result.captured_bytes = 2;
  result.freeze_us = 3;
  result.phases = {{"resolve", 4}, {"dump", 5}};
  result.dumps = {{7, 8, 9, 10, 0, 0}};
  result.lacks = {"container app: /dev/shm holds files (x)"};
  result.external_files = {"container app: /data/f (on /srv/data of the node)"};
  result.source_killed = true;
  return result;
}

// Every field by itself: missing, and of another type.
template <typename Parse>
void ExpectEveryFieldIsNeeded(const std::string& text, const Parse& parse) {
  const json whole = json::parse(text);
  ASSERT_FALSE(whole.empty());
  for (const auto& [name, value] : whole.items()) {
    json without = whole;
    without.erase(name);
    EXPECT_THAT(
        parse(without.dump()),
        StatusIs(Code::kInvalidArgument, AllOf(HasSubstr(" " + name + " "), HasSubstr("missing"))));
    json wrong = whole;
    wrong[name] = json::object();
    EXPECT_THAT(parse(wrong.dump()),
                StatusIs(Code::kInvalidArgument, HasSubstr(" " + name + " is no")));
  }
}

TEST(JobTest, ACheckpointJobSurvivesTheRoundTrip) {
  const CheckpointJob job = SampleJob();

  EXPECT_THAT(ParseCheckpointJob(ToJson(job)), IsOkAnd(job));
  EXPECT_THAT(ParseCheckpointJob(ToJson(CheckpointJob())), IsOkAnd(CheckpointJob()));
}

TEST(JobTest, EveryMissingFieldOfAJobIsNamed) {
  ExpectEveryFieldIsNeeded(ToJson(SampleJob()), ParseCheckpointJob);
}

TEST(JobTest, EveryMissingFieldOfAContainerOrMountIsNamed) {
  const json whole = json::parse(ToJson(SampleJob()));
  ExpectEveryFieldIsNeeded(whole["containers"][0].dump(), [&](const std::string& container) {
    json job = whole;
    job["containers"][1] = json::parse(container);
    return ParseCheckpointJob(job.dump());
  });
  ExpectEveryFieldIsNeeded(whole["finished"][0].dump(), [&](const std::string& finished) {
    json job = whole;
    job["finished"][0] = json::parse(finished);
    return ParseCheckpointJob(job.dump());
  });
  ExpectEveryFieldIsNeeded(whole["containers"][0]["mounts"][0].dump(),
                           [&](const std::string& mount) {
                             json job = whole;
                             job["containers"][0]["mounts"][0] = json::parse(mount);
                             return ParseCheckpointJob(job.dump());
                           });
}

TEST(JobTest, AJournalSurvivesTheRoundTripAndItsFieldsAreNeeded) {
  EXPECT_THAT(ParseJournal(ToJson(SampleJournal())), IsOkAnd(SampleJournal()));
  EXPECT_THAT(ParseJournal(ToJson(Journal())), IsOkAnd(Journal()));
  ExpectEveryFieldIsNeeded(ToJson(SampleJournal()), ParseJournal);
}

TEST(JobTest, AJournalWithADamagedProcessIsRefused) {
  json journal = json::parse(ToJson(SampleJournal()));
  journal["criu"][1].erase("start_ticks");

  EXPECT_THAT(ParseJournal(journal.dump()),
              StatusIs(Code::kInvalidArgument, HasSubstr("start_ticks is missing")));
  journal["criu"] = json::array({"a string"});
  EXPECT_THAT(ParseJournal(journal.dump()),
              StatusIs(Code::kInvalidArgument, HasSubstr("no JSON object")));
  journal["criu"] = json::array();
  journal["cgroups"] = json::array({1});
  EXPECT_THAT(ParseJournal(journal.dump()), StatusIs(Code::kInvalidArgument, HasSubstr("cgroups")));
}

TEST(JobTest, AnEventSurvivesTheRoundTripAndItsFieldsAreNeeded) {
  const JobEvent event{"archive", "app", 1, uint64_t{1} << 40};

  EXPECT_THAT(ParseJobEvent(ToJson(event)), IsOkAnd(event));
  EXPECT_EQ(ToJson(event).find('\n'), std::string::npos) << "a line of the events file";
  ExpectEveryFieldIsNeeded(ToJson(event), ParseJobEvent);
}

TEST(JobTest, AResultSurvivesTheRoundTripWithItsStatus) {
  const JobResult result = SampleResult();

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const JobResult parsed, ParseJobResult(ToJson(result)));

  EXPECT_EQ(parsed.status.code(), result.status.code());
  EXPECT_EQ(parsed.status.message(), result.status.message());
  EXPECT_EQ(parsed.status.reason(), Reason::kIoUring);
  ASSERT_THAT(parsed.dumps, testing::SizeIs(1));
  EXPECT_EQ(parsed.dumps[0].freezing_us, 7u);
  EXPECT_EQ(parsed.dumps[0].memwrite_us, 10u);
  EXPECT_EQ(parsed.archive, result.archive);
  EXPECT_EQ(parsed.digest, result.digest);
  EXPECT_EQ(parsed.size_bytes, result.size_bytes);
  EXPECT_EQ(parsed.captured_bytes, result.captured_bytes);
  EXPECT_EQ(parsed.freeze_us, result.freeze_us);
  EXPECT_EQ(parsed.phases, result.phases);
  EXPECT_EQ(parsed.lacks, result.lacks);
  EXPECT_EQ(parsed.external_files, result.external_files);
  EXPECT_TRUE(parsed.source_killed);
  EXPECT_THAT(ParseJobResult(ToJson(JobResult()))->status, IsOk());
}

TEST(JobTest, EveryMissingFieldOfAResultIsNamed) {
  json result = json::parse(ToJson(SampleResult()));
  result.erase("reason");
  result.erase("dumps");
  result.erase("external_files");
  ExpectEveryFieldIsNeeded(result.dump(), ParseJobResult);
}

TEST(JobTest, AResultOfAnOlderProgramHasTheReasonOfItsCode) {
  json result = json::parse(ToJson(SampleResult()));
  result.erase("reason");
  result.erase("dumps");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const JobResult parsed, ParseJobResult(result.dump()));

  EXPECT_EQ(parsed.status.reason(), Reason::kRefused);
  EXPECT_THAT(parsed.dumps, testing::IsEmpty());
}

TEST(JobTest, AReasonOrDumpOfAnotherTypeIsNamed) {
  for (const char* name : {"reason", "dumps"}) {
    json result = json::parse(ToJson(SampleResult()));
    result[name] = json::object();
    EXPECT_THAT(ParseJobResult(result.dump()),
                StatusIs(Code::kInvalidArgument, HasSubstr(std::string(" ") + name + " is no")));
  }
}

TEST(JobTest, AResultWithACodeNobodyKnowsIsAnErrorAllTheSame) {
  json result = json::parse(ToJson(JobResult()));
  result["code"] = 4711;

  EXPECT_THAT(ParseJobResult(result.dump())->status, StatusIs(Code::kUnknown));
}

TEST(JobTest, BytesThatAreNoJsonNameTheirFile) {
  EXPECT_THAT(ParseCheckpointJob("{"), StatusIs(Code::kInvalidArgument, HasSubstr(kRequestFile)));
  EXPECT_THAT(ParseJournal(""), StatusIs(Code::kInvalidArgument, HasSubstr(kJournalFile)));
  EXPECT_THAT(ParseJobEvent("\xff"), StatusIs(Code::kInvalidArgument, HasSubstr(kEventsFile)));
  EXPECT_THAT(ParseJobResult("[]"), StatusIs(Code::kInvalidArgument, HasSubstr(kResultFile)));
}

TEST(JobTest, TextThatIsNoUtf8StillMakesAJob) {
  CheckpointJob job = SampleJob();
  job.pod_name = "bad \xff byte";

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const CheckpointJob parsed, ParseCheckpointJob(ToJson(job)));

  EXPECT_THAT(parsed.pod_name, HasSubstr("bad "));
}

TEST(ProcessIdentityTest, WeLiveAndAnotherStartTimeIsSomebodyElse) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ProcessIdentity self, IdentifyProcess(::getpid()));
  EXPECT_TRUE(IsAlive(self));

  ++self.start_ticks;  // the PID was given to another process

  EXPECT_FALSE(IsAlive(self));
}

TEST(ProcessIdentityTest, AZombieAndAReapedChildAreDead) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    while (true) ::pause();
  }
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ProcessIdentity child, IdentifyProcess(pid));
  ASSERT_TRUE(IsAlive(child));

  ::kill(pid, SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(IsAlive(child));
  ::waitpid(pid, nullptr, 0);
  EXPECT_FALSE(IsAlive(child));
  EXPECT_THAT(IdentifyProcess(pid), StatusIs(Code::kNotFound));
}

TEST(ProcessFileTest, HoldsTheIdentityAndFailsWithoutIt) {
  cryopod::test::TempDirectory temp;
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd directory, OpenDirectory(temp.path()));
  EXPECT_THAT(ReadProcessFile(directory.get()), StatusIs(Code::kNotFound));
  const ProcessIdentity identity{4711, 123456789012};

  ASSERT_THAT(WriteProcessFile(directory.get(), identity), IsOk());

  EXPECT_THAT(ReadProcessFile(directory.get()), IsOkAnd(identity));
  ASSERT_THAT(WriteFileAtomically(directory.get(), kProcessFile, "{\"pid\":1}"), IsOk());
  EXPECT_THAT(ReadProcessFile(directory.get()),
              StatusIs(Code::kInvalidArgument, HasSubstr("start_ticks")));
}

}  // namespace
}  // namespace cryopod::checkpoint
