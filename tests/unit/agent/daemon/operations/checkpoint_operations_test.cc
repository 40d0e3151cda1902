#include "tests/unit/agent/daemon/operations/checkpoint_fixture.h"

namespace cryopod::daemon {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::ReadText;
using cryopod::test::StatusIs;
using jobs::CheckpointResult;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

class CheckpointOperationsTest : public test::CheckpointFixture {};

TEST_F(CheckpointOperationsTest, TheProcesssWordsAndResultAreReported) {
  SetCheckpointProgram(Say("resolve") + Say("dump") + "cp $job/request.json " +
                       (temp_.path() / "request").string() + "\n" + SayResult(GoodResult()));
  WatchEnds();

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());
  const CheckpointResult result = ResultOf(*operation);

  EXPECT_THAT(result.status, IsOk());
  EXPECT_EQ(result.digest, GoodResult().digest);
  EXPECT_EQ(result.freeze_us, 910u);
  EXPECT_THAT(StagesOf(*operation), ElementsAre("resolve", "dump"));
  EXPECT_THAT(jobs::FromText<jobs::CheckpointJob>(ReadText(temp_.path() / "request"), "request")
                  ->containers,
              SizeIs(2));
  EXPECT_THAT(register_->ListRunning(), IsEmpty());
  EXPECT_THAT(Ends(), ElementsAre(operation->id() + ".json", operation->id()))
      << "nothing is left of the job, and what it came to is remembered before it goes";
  EXPECT_THAT(node_metrics_->Serialize(),
              HasSubstr("cryopod_pod_checkpoint_freeze_seconds_count 1"));
  EXPECT_THAT(server_.calls(), Not(Contains(HasSubstr("StopPodSandbox"))));
}

TEST_F(CheckpointOperationsTest, AFailureIsReportedAsTheProcessSaidIt) {
  CheckpointResult failed;
  failed.status = Status(Code::kFailedPrecondition, "container app uses io_uring");
  SetCheckpointProgram(SayResult(failed) + "exit 1");

  EXPECT_THAT(Checkpoint().status, StatusIs(Code::kFailedPrecondition, HasSubstr("io_uring")));
  EXPECT_THAT(register_->ListRunning(), IsEmpty());
}

TEST_F(CheckpointOperationsTest, AKilledProcessIsReportedWithItsStageAndThatThePodRunsOn) {
  SetCheckpointProgram(Say("dump") + "kill -9 $$");

  const Status status = Checkpoint().status;

  EXPECT_THAT(status,
              StatusIs(Code::kInternal, AllOf(HasSubstr("stage dump"), HasSubstr("runs on"))));
  EXPECT_EQ(status.reason(), Reason::kProcessDied);
  EXPECT_THAT(Jobs(), IsEmpty());
}

// A CRIU that would not let go, as the process says that has waited for it.
TEST_F(CheckpointOperationsTest, AnOperationThatLeftThePodStandingEndsWhenThePodRuns) {
  CheckpointResult held;
  held.status = Status(Code::kDeadlineExceeded, "the dump did not end in time");
  held.may_be_frozen = true;
  const std::string criu_pid = temp_.path() / "criu";
  SetCheckpointProgram("sleep 600 & criu=$!\n" + WriteJournalOf("$criu") + "echo $criu >" +
                       criu_pid + "\n" + Say("dump") + SayResult(held));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());

  EXPECT_TRUE(Eventually([&] { return operation->progress().stage == "release"; }));
  EXPECT_TRUE(operation->frozen());
  EXPECT_FALSE(operation->finished());
  ::kill(std::stoi(ReadText(criu_pid)), SIGKILL);

  EXPECT_THAT(ResultOf(*operation).status,
              StatusIs(Code::kDeadlineExceeded, HasSubstr("did not end in time")));
  EXPECT_THAT(Jobs(), IsEmpty());
}

TEST_F(CheckpointOperationsTest, AProcessKilledInTheCommitDoesNotClaimThatNothingWasArchived) {
  for (const auto& [stage, words] :
       {std::pair{"commit", "cryopodctl list"},
        std::pair{"stop", "the archive is committed, and the pod runs on"}}) {
    SetCheckpointProgram(Say(stage) + "kill -9 $$");

    EXPECT_THAT(
        Checkpoint().status,
        StatusIs(Code::kInternal, AllOf(HasSubstr(words), Not(HasSubstr("nothing was archived")))));
  }
}

TEST_F(CheckpointOperationsTest, AProcessKilledAfterItDecidedToStopTheSourceIsFinished) {
  SetCheckpointProgram(Say("stop") + "cp " + WriteResult(StoppedResult()) +
                       " $job/stopping.json\n" + "kill -9 $$");

  const CheckpointResult result = Checkpoint();

  EXPECT_THAT(result.status, IsOk());
  EXPECT_EQ(result.digest, GoodResult().digest);
  EXPECT_TRUE(result.source_killed);
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty()) << "what is left of the source is removed";
  EXPECT_THAT(Jobs(), IsEmpty());
}

TEST_F(CheckpointOperationsTest, PodsWithoutAUidAreToldApart) {
  AddPod("", "first");
  AddPod("", "second");
  SetCheckpointProgram(WaitForGo() + SayResult(GoodResult()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> first, Start("shop/first"));

  EXPECT_THAT(Start("shop/first"), StatusIs(Code::kAborted));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> second, Start("shop/second"));

  Go();
  EXPECT_THAT(ResultOf(*first).status, IsOk());
  EXPECT_THAT(ResultOf(*second).status, IsOk());
}

TEST_F(CheckpointOperationsTest, ASecondCheckpointOfThePodIsRefusedWithTheRunningOnesId) {
  SetCheckpointProgram(WaitForGo() + SayResult(GoodResult()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> first, Start());

  EXPECT_THAT(Start(), StatusIs(Code::kAborted, HasSubstr(first->id())));
  EXPECT_THAT(Start(sandbox_), StatusIs(Code::kAborted)) << "by whatever name";
  AddPod("u-2", "other");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> other, Start("shop/other"));

  Go();
  EXPECT_THAT(ResultOf(*first).status, IsOk());
  EXPECT_THAT(ResultOf(*other).status, IsOk());
}

TEST_F(CheckpointOperationsTest, APodThatIsAbsentOrStoppedIsRefusedCountedAndLocksNothing) {
  EXPECT_THAT(Start("shop/absent"), StatusIs(Code::kNotFound, HasSubstr("shop/absent")));
  server_.SetSandboxReady(sandbox_, false);
  EXPECT_THAT(Start(), StatusIs(Code::kFailedPrecondition, HasSubstr("shop/web")));

  EXPECT_THAT(register_->ListRunning(), IsEmpty());
  EXPECT_THAT(Jobs(), IsEmpty());
  EXPECT_THAT(node_metrics_->Serialize(),
              AllOf(HasSubstr("{operation_type=\"checkpoint_pod\",reason=\"not_found\"} 1"),
                    HasSubstr("{operation_type=\"checkpoint_pod\",reason=\"pod_not_running\"} 1"),
                    HasSubstr("cryopod_operations_running{operation_type=\"checkpoint_pod\"} 0")));
}

TEST_F(CheckpointOperationsTest, AHalfMadeArchiveGoesThoughAChildOfTheDeadStillHoldsIt) {
  const fs::path half = fs::path(config_.store_root()) / ".partial" / "half";
  SetCheckpointProgram("mkdir -p " + half.string() + "; exec 9<" + half.string() +
                       "; flock 9; sleep 60 & kill -9 $$");

  EXPECT_EQ(Checkpoint().status.reason(), Reason::kProcessDied);
  EXPECT_FALSE(fs::exists(half));
}

TEST_F(CheckpointOperationsTest, AMissingProgramIsAnErrorAndLeavesNothing) {
  fs::remove(config_.checkpoint_program());

  EXPECT_THAT(Start(), StatusIs(Code::kNotFound, HasSubstr("cryopod-checkpoint")));

  EXPECT_THAT(register_->ListRunning(), IsEmpty());
  EXPECT_THAT(Jobs(), IsEmpty());
}

TEST_F(CheckpointOperationsTest,
       AStoppedSourceIsRemovedThroughCriWhichIsAskedAgainWhenItMeetsTheEndsOfContainers) {
  SetCheckpointProgram(SayResult(StoppedResult()));
  server_.FailNext("StopPodSandbox", Code::kUnknown, "ttrpc: closed");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation, Start());

  EXPECT_THAT(ResultOf(*operation).status, IsOk());
  EXPECT_THAT(StagesOf(*operation), Contains("remove"));
  EXPECT_THAT(server_.calls(), AllOf(Contains("StopPodSandbox " + sandbox_),
                                     Contains("RemovePodSandbox " + sandbox_)));
  EXPECT_THAT(server_.sandbox_ids(), IsEmpty());
}

TEST_F(CheckpointOperationsTest, ASourceThatCannotBeRemovedIsAnErrorThatNamesTheArchive) {
  SetCheckpointProgram(SayResult(StoppedResult()));
  server_.FailNext("RemovePodSandbox", Code::kInternal, "busy");

  const CheckpointResult result = Checkpoint();

  EXPECT_THAT(result.status, StatusIs(Code::kInternal, AllOf(HasSubstr("archive a is committed"),
                                                             HasSubstr("busy"))));
  EXPECT_EQ(result.digest, GoodResult().digest) << "the archive is there all the same";
}

TEST_F(CheckpointOperationsTest, ACancelledProcessIsAskedToEndAndItsResultIsTheOperations) {
  SetCheckpointProgram(UnwindWhenAsked());
  const std::shared_ptr<Operation> operation = StartAndWait();

  EXPECT_THAT(operation->Cancel(), IsOk());

  EXPECT_THAT(ResultOf(*operation).status, StatusIs(Code::kCancelled, HasSubstr("stage dump")));
  EXPECT_THAT(OutcomeOf(*operation).status, StatusIs(Code::kCancelled));
  EXPECT_THAT(node_metrics_->Serialize(), HasSubstr("reason=\"cancelled\"} 1"));
}

TEST_F(CheckpointOperationsTest, ARetryFindsTheFirstWhileItRunsAndItsResultThoughTheSourceIsGone) {
  SetCheckpointProgram(WaitForGo() + SayResult(StoppedResult()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> first, Start("shop/web", OwnId()));

  EXPECT_EQ(*Start("shop/web", OwnId()), first);
  Go();
  ASSERT_TRUE(ResultOf(*first).source_killed);
  ASSERT_THAT(server_.sandbox_ids(), IsEmpty());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> again, Start("shop/web", OwnId()));

  EXPECT_EQ(again->outcome().checkpoint.digest, GoodResult().digest);
  EXPECT_THAT(Jobs(), IsEmpty()) << "nothing was started";
  EXPECT_THAT(Start("shop/other", OwnId()), StatusIs(Code::kNotFound)) << "it is another pod's";
  EXPECT_THAT(Start("shop/web", "another"), StatusIs(Code::kNotFound));
}

TEST_F(CheckpointOperationsTest, WithoutOptionsTheConfigurationAndTheTimeDecide) {
  config_.checkpoint_timeout_s = 77;
  SetCheckpointProgram(SayResult(GoodResult()));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Operation> operation,
                               checkpoints_->Start({.pod = "shop/web", .archive = ""}));

  EXPECT_EQ(operation->facts().timeout, seconds(77));
  EXPECT_THAT(operation->facts().archive, StartsWith("shop_web_"));
  EXPECT_FALSE(operation->facts().archive_is_asked);
  EXPECT_THAT(ResultOf(*operation).status, IsOk());
}

}  // namespace
}  // namespace cryopod::daemon
