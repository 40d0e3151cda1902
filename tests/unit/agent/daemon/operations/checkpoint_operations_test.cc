#include "agent/daemon/operations/checkpoint_operations.h"

#include <algorithm>
#include <csignal>

#include "agent/os/mount.h"
#include "tests/support/read_text.h"
#include "tests/unit/agent/daemon/daemon_fixture.h"

namespace cryopod::daemon {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::ReadText;
using cryopod::test::StatusIs;
using jobs::JobResult;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class CheckpointOperationsTest : public test::AgentFixture {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "cgroups need root";
    sandbox_ = AddPod();
    BeginAgent();
  }
  void BeginAgent() {
    table_ = std::make_unique<OperationTable>();
    metrics_ = std::make_unique<metrics::AgentMetrics>();
    operations_ = std::make_unique<CheckpointOperations>(config_, runtime_, *table_, *metrics_);
  }
  // As a SIGTERM does it; the next agent knows nothing but what is on disk.
  void RestartAgent() {
    operations_.reset();
    BeginAgent();
  }
  Result<std::shared_ptr<Operation>> Start(const std::string& pod = "shop/web") {
    CheckpointOptions options;
    options.pod = pod;
    options.archive = "a";
    return operations_->Start(options);
  }
  static JobResult ResultOf(const Operation& operation) {
    Operation::News news;
    const Deadline deadline = Soon();
    while (!news.finished && !deadline.expired()) news = operation.WaitForNews(0, deadline);
    EXPECT_TRUE(news.finished);
    return news.finished ? operation.result() : JobResult();
  }
  static std::vector<std::string> StagesOf(const Operation& operation) {
    std::vector<std::string> stages;
    for (const jobs::JobEvent& event :
         operation.WaitForNews(0, Deadline::After(seconds(0))).events) {
      stages.push_back(event.stage);
    }
    return stages;
  }
  std::vector<std::string> Jobs() const { return jobs::ListJobs(config_.jobs_dir(), "c-").value(); }
  std::string JobDir(const Operation& operation) const {
    return config_.jobs_dir() + "/" + operation.id();
  }
  pid_t JobPid(const Operation& operation) const {
    const UniqueFd directory = OpenDirectory(JobDir(operation)).value();
    const auto identity = jobs::ReadProcessFile(directory.get());
    return identity.ok() ? identity->pid : -1;
  }
  static std::string Event(const std::string& stage) {
    return "printf '%s\\n' '" + checkpoint::ToJson(jobs::JobEvent{stage, "", 0, 0}) +
           "' >>$job/events\n";
  }
  // Reports what stands in the file, the way cryopod-checkpoint does.
  std::string Report(const JobResult& result) const {
    return "cp " + WriteResult(result) + " $job/result.json.new\n" +
           "mv $job/result.json.new $job/result.json\n";
  }
  std::string WaitForGo() const {
    return "touch $job/waiting; while ! test -e " + (temp_.path() / "go").string() +
           "; do sleep 0.02; done\n";
  }
  void Go() const { std::ofstream(temp_.path() / "go") << "x"; }

  std::string sandbox_;
  std::unique_ptr<OperationTable> table_;
  std::unique_ptr<metrics::AgentMetrics> metrics_;
  std::unique_ptr<CheckpointOperations> operations_;
};

TEST_F(CheckpointOperationsTest, TheProcesssWordsAndResultAreReported) {
  SetCheckpointProgram(Event("resolve") + Event("dump") + "cp $job/request.json " +
                       (temp_.path() / "request").string() + "\n" + Report(GoodResult()));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());
  const JobResult result = ResultOf(*operation);

  EXPECT_THAT(result.status, IsOk());
  EXPECT_EQ(result.digest, GoodResult().digest);
  EXPECT_EQ(result.freeze_us, 910u);
  EXPECT_THAT(StagesOf(*operation), ElementsAre("resolve", "dump"));
  EXPECT_THAT(jobs::ParseCheckpointJob(ReadText(temp_.path() / "request"))->containers, SizeIs(2));
  EXPECT_THAT(table_->List(), IsEmpty());
  EXPECT_THAT(Jobs(), IsEmpty()) << "nothing is left of the job";
  EXPECT_THAT(metrics_->Serialize(), HasSubstr("cryopod_pod_checkpoint_freeze_seconds_count 1"));
  EXPECT_THAT(server_.calls(), Not(Contains(HasSubstr("StopPodSandbox"))));
}

TEST_F(CheckpointOperationsTest, AFailureIsReportedAsTheProcessSaidIt) {
  JobResult failed;
  failed.status = Status(Code::kFailedPrecondition, "container app uses io_uring");
  SetCheckpointProgram(Report(failed) + "exit 1");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());

  EXPECT_THAT(ResultOf(*operation).status,
              StatusIs(Code::kFailedPrecondition, HasSubstr("io_uring")));
  EXPECT_THAT(table_->List(), IsEmpty());
}

TEST_F(CheckpointOperationsTest, AKilledProcessIsReportedWithItsStageAndThatThePodRunsOn) {
  SetCheckpointProgram(Event("dump") + "kill -9 $$");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());

  EXPECT_THAT(ResultOf(*operation).status,
              StatusIs(Code::kInternal, AllOf(HasSubstr("stage dump"), HasSubstr("runs on"))));
  EXPECT_THAT(Jobs(), IsEmpty());
}

TEST_F(CheckpointOperationsTest, AProcessKilledInTheCommitDoesNotClaimThatNothingWasArchived) {
  for (const auto& [stage, words] :
       {std::pair{"commit", "cryopodctl list"},
        std::pair{"stop", "the archive is committed, and the pod runs on"}}) {
    SetCheckpointProgram(Event(stage) + "kill -9 $$");

    CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());

    EXPECT_THAT(
        ResultOf(*operation).status,
        StatusIs(Code::kInternal, AllOf(HasSubstr(words), Not(HasSubstr("nothing was archived")))));
  }
}

TEST_F(CheckpointOperationsTest, AProcessKilledAfterItDecidedToStopTheSourceIsFinished) {
  JobResult decided = GoodResult();
  decided.source_killed = true;
  SetCheckpointProgram(Event("stop") + "cp " + WriteResult(decided) + " $job/stopping.json\n" +
                       "kill -9 $$");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());
  const JobResult result = ResultOf(*operation);

  EXPECT_THAT(result.status, IsOk());
  EXPECT_EQ(result.digest, GoodResult().digest);
  EXPECT_TRUE(result.source_killed);
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty()) << "what is left of the source is removed";
  EXPECT_THAT(Jobs(), IsEmpty());
}

TEST_F(CheckpointOperationsTest, AStopThatWasDecidedWhenAllWereKilledIsFinishedAtTheNextStart) {
  JobResult decided = GoodResult();
  decided.source_killed = true;
  SetCheckpointProgram(Event("stop") + "cp " + WriteResult(decided) + " $job/stopping.json\n" +
                       WaitForGo());
  UniqueFd pidfd;
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());
    ASSERT_TRUE(Eventually([&] { return fs::exists(JobDir(*operation) + "/waiting"); }));
    pidfd = OpenPidfd(JobPid(*operation)).value();
    operations_.reset();
    ::kill(JobPid(*operation), SIGKILL);
  }
  ASSERT_TRUE(PidfdEnded(pidfd.get(), Soon()));
  BeginAgent();

  ASSERT_THAT(operations_->AdoptOrRepair(), IsOk());

  EXPECT_TRUE(Eventually([&] { return Jobs().empty() && table_->List().empty(); }));
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
}

TEST_F(CheckpointOperationsTest, AnAgentThatEndsWhileItWaitsForACriuLeavesTheRepairToTheNextOne) {
  const std::string journal = temp_.path() / "journal";
  SetCheckpointProgram(
      "sleep 600 & criu=$!\n"
      "printf '{\"cgroups\":[],\"criu\":[{\"pid\":%d,\"start_ticks\":%s}],'"
      "'\"inits\":[],\"disk_staging\":\"\"}' $criu "
      "$(cut -d' ' -f22 /proc/$criu/stat) >" +
      journal + "\ncp " + journal + " $job/journal.json\n" + Event("dump") + "kill -9 $$");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());
  ASSERT_TRUE(Eventually([&] { return operation->stage() == "dump"; }));
  const pid_t criu = jobs::ParseJournal(ReadText(journal))->criu.at(0).pid;

  RestartAgent();

  EXPECT_THAT(Jobs(), ElementsAre(operation->id()));
  EXPECT_EQ(::kill(criu, 0), 0) << "nobody kills a CRIU that dumps";
  ASSERT_THAT(operations_->AdoptOrRepair(), IsOk());
  ::kill(criu, SIGKILL);
  EXPECT_TRUE(Eventually([&] { return Jobs().empty() && table_->List().empty(); }));
}

TEST_F(CheckpointOperationsTest, AnAgentThatEndsWhileARuntimeRefusesLeavesTheSourceToTheNextOne) {
  JobResult stopped = GoodResult();
  stopped.source_killed = true;
  SetCheckpointProgram(Report(stopped));
  server_.FailNext("StopPodSandbox", Code::kUnknown, "ttrpc: closed");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());
  ASSERT_TRUE(Eventually([&] {
    const std::vector<std::string> calls = server_.calls();
    return std::find(calls.begin(), calls.end(), "StopPodSandbox " + sandbox_) != calls.end();
  }));

  RestartAgent();
  ASSERT_THAT(operations_->AdoptOrRepair(), IsOk());

  EXPECT_TRUE(Eventually([&] { return Jobs().empty() && table_->List().empty(); }));
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
}

TEST_F(CheckpointOperationsTest, PodsWithoutAUidAreToldApart) {
  AddPod("", "first");
  AddPod("", "second");
  SetCheckpointProgram(WaitForGo() + Report(GoodResult()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> first, Start("shop/first"));

  EXPECT_THAT(Start("shop/first"), StatusIs(Code::kAborted));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> second, Start("shop/second"));

  Go();
  EXPECT_THAT(ResultOf(*first).status, IsOk());
  EXPECT_THAT(ResultOf(*second).status, IsOk());
}

TEST_F(CheckpointOperationsTest, ADamagedResultIsNoSuccess) {
  SetCheckpointProgram("echo '{\"code\":0}' >$job/result.json");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());

  EXPECT_THAT(ResultOf(*operation).status, StatusIs(Code::kInternal));
}

TEST_F(CheckpointOperationsTest, ASecondCheckpointOfThePodIsRefusedWithTheRunningOnesId) {
  SetCheckpointProgram(WaitForGo() + Report(GoodResult()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> first, Start());

  EXPECT_THAT(Start(), StatusIs(Code::kAborted, HasSubstr(first->id())));
  EXPECT_THAT(Start(sandbox_), StatusIs(Code::kAborted)) << "by whatever name";
  AddPod("u-2", "other");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> other, Start("shop/other"));

  Go();
  EXPECT_THAT(ResultOf(*first).status, IsOk());
  EXPECT_THAT(ResultOf(*other).status, IsOk());
}

TEST_F(CheckpointOperationsTest, APodThatIsAbsentOrStoppedIsRefusedAndLocksNothing) {
  EXPECT_THAT(Start("shop/absent"), StatusIs(Code::kNotFound, HasSubstr("shop/absent")));
  server_.SetSandboxReady(sandbox_, false);
  EXPECT_THAT(Start(), StatusIs(Code::kFailedPrecondition, HasSubstr("shop/web")));

  EXPECT_THAT(table_->List(), IsEmpty());
  EXPECT_THAT(Jobs(), IsEmpty());
}

TEST_F(CheckpointOperationsTest, WhatIsRefusedIsCountedWithItsReason) {
  EXPECT_FALSE(Start("shop/absent").ok());
  server_.SetSandboxReady(sandbox_, false);
  EXPECT_FALSE(Start().ok());

  EXPECT_THAT(metrics_->Serialize(),
              AllOf(HasSubstr("{operation_type=\"checkpoint_pod\",reason=\"not_found\"} 1"),
                    HasSubstr("{operation_type=\"checkpoint_pod\",reason=\"pod_not_running\"} 1"),
                    HasSubstr("cryopod_operations_running{operation_type=\"checkpoint_pod\"} 0")));
}

TEST_F(CheckpointOperationsTest, AKilledProcessIsCountedAsOne) {
  SetCheckpointProgram(Event("dump") + "kill -9 $$");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());

  EXPECT_EQ(ResultOf(*operation).status.reason(), Reason::kProcessDied);
}

TEST_F(CheckpointOperationsTest, AHalfMadeArchiveGoesThoughAChildOfTheDeadStillHoldsIt) {
  const fs::path half = fs::path(config_.store_root()) / ".partial" / "half";
  SetCheckpointProgram("mkdir -p " + half.string() + "; exec 9<" + half.string() +
                       "; flock 9; sleep 60 & kill -9 $$");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());

  EXPECT_EQ(ResultOf(*operation).status.reason(), Reason::kProcessDied);
  EXPECT_FALSE(fs::exists(half));
}

TEST_F(CheckpointOperationsTest, AMissingProgramIsAnErrorAndLeavesNothing) {
  fs::remove(config_.checkpoint_program());

  EXPECT_THAT(Start(), StatusIs(Code::kNotFound, HasSubstr("cryopod-checkpoint")));

  EXPECT_THAT(table_->List(), IsEmpty());
  EXPECT_THAT(Jobs(), IsEmpty());
}

TEST_F(CheckpointOperationsTest, AStoppedSourceIsRemovedThroughCri) {
  JobResult stopped = GoodResult();
  stopped.source_killed = true;
  SetCheckpointProgram(Report(stopped));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());

  EXPECT_THAT(ResultOf(*operation).status, IsOk());
  EXPECT_THAT(StagesOf(*operation), Contains("remove"));
  EXPECT_THAT(server_.calls(), AllOf(Contains("StopPodSandbox " + sandbox_),
                                     Contains("RemovePodSandbox " + sandbox_)));
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
}

TEST_F(CheckpointOperationsTest, AStopThatMeetsTheEndsOfTheContainersIsAskedAgain) {
  JobResult stopped = GoodResult();
  stopped.source_killed = true;
  SetCheckpointProgram(Report(stopped));
  server_.FailNext("StopPodSandbox", Code::kUnknown, "ttrpc: closed");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());

  EXPECT_THAT(ResultOf(*operation).status, IsOk());
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
}

TEST_F(CheckpointOperationsTest, ASourceThatCannotBeRemovedIsAnErrorThatNamesTheArchive) {
  JobResult stopped = GoodResult();
  stopped.source_killed = true;
  SetCheckpointProgram(Report(stopped));
  server_.FailNext("RemovePodSandbox", Code::kInternal, "busy");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());
  const JobResult result = ResultOf(*operation);

  EXPECT_THAT(result.status, StatusIs(Code::kInternal, AllOf(HasSubstr("archive a is committed"),
                                                             HasSubstr("busy"))));
  EXPECT_EQ(result.digest, GoodResult().digest) << "the archive is there all the same";
}

TEST_F(CheckpointOperationsTest, AnAgentThatEndsLeavesTheProcessAndTheNextOneAdoptsIt) {
  SetCheckpointProgram(Event("freeze") + WaitForGo() + Event("commit") + Report(GoodResult()));
  std::string id;
  pid_t pid = -1;
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());
    ASSERT_TRUE(Eventually([&] { return fs::exists(JobDir(*operation) + "/waiting"); }));
    id = operation->id();
    pid = JobPid(*operation);
  }

  RestartAgent();
  ASSERT_EQ(::kill(pid, 0), 0) << "it runs on without its agent";
  ASSERT_THAT(operations_->AdoptOrRepair(), IsOk());

  ASSERT_THAT(table_->List(), SizeIs(1));
  const std::shared_ptr<Operation> adopted = table_->List()[0];
  EXPECT_EQ(adopted->id(), id);
  EXPECT_EQ(adopted->pod(), "shop/web");
  EXPECT_TRUE(Eventually([&] { return adopted->frozen(); }));
  EXPECT_THAT(metrics_->Serialize(),
              HasSubstr("cryopod_operations_running{operation_type=\"checkpoint_pod\"} 1"));
  EXPECT_THAT(Start(), StatusIs(Code::kAborted, HasSubstr(id)));
  Go();
  EXPECT_THAT(ResultOf(*adopted).status, IsOk());
  EXPECT_THAT(StagesOf(*adopted), ElementsAre("freeze", "commit")) << "told from the beginning";
  EXPECT_THAT(Jobs(), IsEmpty());
}

TEST_F(CheckpointOperationsTest, AResultThatCameWhileNoAgentRanIsCollected) {
  JobResult stopped = GoodResult();
  stopped.source_killed = true;
  SetCheckpointProgram(WaitForGo() + Report(stopped));
  UniqueFd pidfd;
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());
    ASSERT_TRUE(Eventually([&] { return fs::exists(JobDir(*operation) + "/waiting"); }));
    pidfd = OpenPidfd(JobPid(*operation)).value();
  }
  operations_.reset();
  Go();
  ASSERT_TRUE(PidfdEnded(pidfd.get(), Soon()));
  BeginAgent();

  ASSERT_THAT(operations_->AdoptOrRepair(), IsOk());

  EXPECT_TRUE(Eventually([&] { return Jobs().empty() && table_->List().empty(); }));
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty()) << "the stopped source is removed now";
}

TEST_F(CheckpointOperationsTest, WhatADeadProcessLeftIsRepairedAtTheStart) {
  SetCheckpointProgram(WaitForGo());
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());
    ASSERT_TRUE(Eventually([&] { return fs::exists(JobDir(*operation) + "/waiting"); }));
    ASSERT_THAT(MountTmpfs(JobDir(*operation) + "/staging", 1 << 20), IsOk());
    const UniqueFd pidfd = OpenPidfd(JobPid(*operation)).value();
    operations_.reset();
    ::kill(JobPid(*operation), SIGKILL);
    ASSERT_TRUE(PidfdEnded(pidfd.get(), Soon()));
  }
  fs::create_directory(config_.jobs_dir() + "/c-without-a-request");
  BeginAgent();

  ASSERT_THAT(operations_->AdoptOrRepair(), IsOk());

  EXPECT_TRUE(Eventually([&] { return Jobs().empty() && table_->List().empty(); }));
  SetCheckpointProgram(Report(GoodResult()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> next, Start());
  EXPECT_THAT(ResultOf(*next).status, IsOk()) << "the pod is free again";
}

TEST_F(CheckpointOperationsTest, ADestroyedAgentDoesNotWaitForItsProcesses) {
  SetCheckpointProgram(WaitForGo());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());
  const auto began = Deadline::Clock::now();

  operations_.reset();

  EXPECT_LT(Deadline::Clock::now() - began, seconds(2));
  EXPECT_FALSE(operation->WaitForNews(0, Deadline::After(milliseconds(0))).finished);
}

}  // namespace
}  // namespace cryopod::daemon
