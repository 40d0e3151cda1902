#include "restore/pod_restore.h"

#include <gmock/gmock.h>

#include "agent/criu/images/fill_list.h"
#include "agent/os/proc.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/restore/pod_restore_fixture.h"
#include "tests/unit/restore/runtime/protocol/sample_record.h"

namespace cryopod::restore {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using wrapper::Answer;
using Decision = wrapper::Answer::Decision;

class PodRestoreTest : public PodRestoreFixture {};

TEST_F(PodRestoreTest, StagesEveryContainerBeforeAnybodyAsks) {
  WorkAll();

  EXPECT_EQ(pod().report().stage, jobs::Stage::kServing);
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kStaged);
  EXPECT_EQ(PhaseOf("sidecar"), jobs::Phase::kStaged);
  EXPECT_TRUE(fs::exists(job_.staging_dir + "/app/pstree.img"));
  EXPECT_EQ(SavedReport().stage, jobs::Stage::kServing);
}

TEST_F(PodRestoreTest, AnAbsentArchiveFailsUntilItIsThere) {
  fs::rename(Path("store/web-1"), Path("store/aside"));
  const Answer absent = Create("app", "c1");
  EXPECT_EQ(absent.decision, Decision::kFail);
  EXPECT_THAT(absent.reason, HasSubstr("web-1"));
  EXPECT_EQ(SavedReport().stage, jobs::Stage::kFailed);
  EXPECT_EQ(SavedReport().error.code(), Code::kNotFound);

  EXPECT_EQ(Create("app", "c2").decision, Decision::kFail);
  fs::rename(Path("store/aside"), Path("store/web-1"));

  EXPECT_TRUE(CanBeRestored("app", "c3"));
}

TEST_F(PodRestoreTest, ANodeThatDoesNotFitFailsTheCreateByName) {
  fs::remove(Path("criu"));
  fs::create_symlink(CRYOPOD_FAKE_CRIU, Path("criu-old"));
  jobs::RestoreJob job = job_;
  job.criu_program = Path("criu-old");

  const Answer answer = MakePod(job).OnCreate(CreateRequest("app", "c1"));

  EXPECT_EQ(answer.decision, Decision::kFail);
  EXPECT_THAT(answer.reason, HasSubstr("3.17.1"));
}

TEST_F(PodRestoreTest, ACreateGetsAPlanAndItsWritableLayer) {
  const wrapper::Request request = CreateRequest("app", "c1");

  const Answer answer = pod().OnCreate(request);

  ASSERT_EQ(answer.decision, Decision::kRestore) << answer.reason;
  EXPECT_EQ(test::ReadText(answer.plan.images_dir + "/descriptors.json"), "processes of app");
  EXPECT_TRUE(fs::exists(answer.plan.criu_config_file));
  EXPECT_EQ(answer.plan.criu, Path("criu"));
  EXPECT_EQ(test::ReadText(request.rootfs + "/var/state"), "written by app");
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kRestoring);
}

TEST_F(PodRestoreTest, AContainerThatTheArchiveLacksIsNeverStartedCold) {
  const Answer answer = Create("injected", "c1");

  EXPECT_EQ(answer.decision, Decision::kFail);
  EXPECT_THAT(answer.reason, AllOf(HasSubstr("injected"), HasSubstr("app, sidecar")));
}

TEST_F(PodRestoreTest, OneMoreContainerIsLikeAnyOtherOnceThePodRuns) {
  RestoreAndStart(CreateRequest("app", "c1"));
  const Answer early = Create("debugger", "c2");
  EXPECT_EQ(early.decision, Decision::kFail);
  EXPECT_THAT(early.reason, HasSubstr("can be made once that runs"));

  RestoreAndStart(CreateRequest("sidecar", "c3"));

  EXPECT_EQ(Create("debugger", "c4"), Answer::Pass());
}

TEST_F(PodRestoreTest, ADamagedArchiveFailsEveryTry) {
  DamageImages("app");

  for (const char* id : {"c1", "c2"}) {
    const Answer answer = Create("app", id);
    EXPECT_EQ(answer.decision, Decision::kFail);
    EXPECT_THAT(answer.reason, HasSubstr("app"));
  }
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kFailed);
  EXPECT_TRUE(pod().over()) << "another restore looks at what stands in the store then";
}

TEST_F(PodRestoreTest, BesideWhatIsRestoredADamagedArchiveThatIsReplacedServesAgain) {
  Restore(CreateRequest("app", "c1"));
  fs::copy(Path("store/web-1"), Path("whole"), fs::copy_options::recursive);
  DamageImages("sidecar");
  EXPECT_EQ(Create("sidecar", "c2").decision, Decision::kFail);
  EXPECT_FALSE(pod().over()) << "it belongs to what is restored";

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::ArchiveStore store,
                               archive::ArchiveStore::Open(job_.store_root));
  EXPECT_THAT(store.Delete("web-1"), test::IsOk()) << "nobody keeps what is damaged";
  fs::rename(Path("whole"), Path("store/web-1"));

  EXPECT_TRUE(CanBeRestored("sidecar", "c3"));
}

TEST_F(PodRestoreTest, AnArchiveThatIsRestoredFromIsNotDeleted) {
  WorkAll();
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::ArchiveStore store,
                               archive::ArchiveStore::Open(job_.store_root));

  const Status deleted = store.Delete("web-1");

  EXPECT_EQ(deleted.code(), Code::kFailedPrecondition);
  EXPECT_EQ(deleted.reason(), Reason::kBusy);
  EXPECT_TRUE(CanBeRestored("app", "c1"));
  MakePod(job_);
  EXPECT_THAT(store.Delete("web-1"), test::IsOk());
}

TEST_F(PodRestoreTest, ASandboxMayBeMadeAndARequestOfAnotherPodOrArchiveIsRefused) {
  const wrapper::Request sandbox = CreateRequest("", "s1");
  wrapper::Request other_pod = CreateRequest("app", "c1");
  other_pod.pod_uid = "u-2";
  wrapper::Request other_archive = CreateRequest("app", "c2");
  other_archive.restore_from = "web-2";

  EXPECT_EQ(pod().OnSandbox(sandbox), Answer::Pass());
  EXPECT_EQ(pod().OnCreate(other_pod).decision, Decision::kFail);
  EXPECT_EQ(pod().OnCreate(other_archive).decision, Decision::kFail);
  EXPECT_EQ(pod().OnSandbox(other_archive).decision, Decision::kFail);
}

TEST_F(PodRestoreTest, WhatTheRuntimeRestoredIsBelievedOnlyAfterALook) {
  const wrapper::Outcome outcome = RestoreProcess(Begin("app", "c1"));

  EXPECT_EQ(pod().OnOutcome("c1", outcome), Answer::Pass());

  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kRestored);
  EXPECT_TRUE(IsStopped(static_cast<pid_t>(outcome.pid)));
  EXPECT_EQ(SavedReport().containers.front().pid, outcome.pid);
}

TEST_F(PodRestoreTest, ATaskTooManyMakesItAFailureAndEndsTheProcesses) {
  const wrapper::Request request = Begin("app", "c1");
  const wrapper::Outcome outcome = RestoreProcess(request);
  RestoreProcess(request);

  const Answer answer = pod().OnOutcome("c1", outcome);

  EXPECT_EQ(answer.decision, Decision::kFail);
  EXPECT_THAT(answer.reason, HasSubstr("there are 2 tasks"));
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kFailed);
  EXPECT_TRUE(IsGone(static_cast<pid_t>(outcome.pid)));
}

TEST_F(PodRestoreTest, ProcessesThatHoldMoreThanTheLiveRequestAllowsAreEnded) {
  const wrapper::Request request = CreateRequest("app", "c1");
  test::WriteText(request.bundle + "/config.json", R"({"process": {"noNewPrivileges": true}})");
  ASSERT_EQ(pod().OnCreate(request).decision, Decision::kRestore);
  const wrapper::Outcome outcome = RestoreProcess(request);

  const Answer answer = pod().OnOutcome("c1", outcome);

  EXPECT_EQ(answer.decision, Decision::kFail);
  EXPECT_THAT(answer.reason, HasSubstr("security context does not allow"));
  EXPECT_TRUE(IsGone(static_cast<pid_t>(outcome.pid)));
}

TEST_F(PodRestoreTest, AFailedRestoreIsExplainedAndCanBeTriedAgain) {
  Begin("app", "c1");

  const Answer answer = pod().OnOutcome("c1", {false, 0, "criu failed: errno 17"});

  EXPECT_EQ(answer.decision, Decision::kFail);
  EXPECT_THAT(answer.reason, AllOf(HasSubstr("container app"), HasSubstr("errno 17")));
  EXPECT_EQ(SavedReport().containers.front().phase, jobs::Phase::kFailed);
  EXPECT_TRUE(CanBeRestored("app", "c2"));
}

TEST_F(PodRestoreTest, ImagesThatAreStagedServeEveryTryWhateverBecomesOfTheArchive) {
  WorkAll();
  DamageImages("app");
  Begin("app", "c1");
  pod().OnWrapperGone("c1");

  const Answer answer = Create("app", "c2");

  ASSERT_EQ(answer.decision, Decision::kRestore) << answer.reason;
  EXPECT_EQ(test::ReadText(answer.plan.images_dir + "/descriptors.json"), "processes of app");
}

TEST_F(PodRestoreTest, ImagesAreDroppedWithTheRestoreAndStagedAgainForAnother) {
  const wrapper::Request first = CreateRequest("app", "c1");
  Restore(first);
  EXPECT_FALSE(fs::exists(job_.staging_dir + "/app"));
  EXPECT_EQ(pod().OnDeleted(first), Answer::Pass());

  const Answer answer = Create("app", "c2");

  ASSERT_EQ(answer.decision, Decision::kRestore) << answer.reason;
  EXPECT_EQ(test::ReadText(answer.plan.images_dir + "/descriptors.json"), "processes of app");
}

TEST_F(PodRestoreTest, MemoryThatCannotBeFilledMakesItAFailureAndEndsTheProcesses) {
  const wrapper::Request request = CreateRequest("app", "c1");
  const Answer plan = pod().OnCreate(request);
  ASSERT_EQ(plan.decision, Decision::kRestore);
  const wrapper::Outcome outcome = RestoreProcess(request);
  // The lowest page of all is nobody's.
  const Result<ProcessInfo> info = ReadProcessInfo(static_cast<pid_t>(outcome.pid));
  ASSERT_THAT(info, test::IsOk());
  test::WriteText(plan.plan.images_dir + "/" + criu::kFillListFile,
                  criu::FormatFills({{info->namespace_pids.back(), 1, 0, criu::PageBytes(), 0}}));
  test::WriteText(plan.plan.images_dir + "/" + criu::KeptPagesFile(1),
                  std::string(criu::PageBytes(), 'x'));
  for (const std::string& name : {std::string(criu::kFillListFile), criu::KeptPagesFile(1)}) {
    fs::permissions(plan.plan.images_dir + "/" + name, fs::perms(0600));
  }

  const Answer answer = pod().OnOutcome("c1", outcome);

  EXPECT_EQ(answer.decision, Decision::kFail);
  EXPECT_THAT(answer.reason, AllOf(HasSubstr("container app"), HasSubstr("no memory of its own")));
  EXPECT_TRUE(IsGone(static_cast<pid_t>(outcome.pid)));
  EXPECT_EQ(SavedReport().containers.front().reason_code, Reason::kArchiveDamaged);
  EXPECT_TRUE(CanBeRestored("app", "c2"));
}

TEST_F(PodRestoreTest, AWrapperThatIsGoneEndsWhatItsRestoreLeft) {
  const wrapper::Outcome half_done = RestoreProcess(Begin("app", "c1"));

  pod().OnWrapperGone("c1");

  EXPECT_TRUE(IsGone(static_cast<pid_t>(half_done.pid)));
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kFailed);
}

TEST_F(PodRestoreTest, TheEndOfAnOldAttemptDoesNotTouchTheNewOne) {
  Begin("app", "c1");
  const wrapper::Outcome outcome = RestoreProcess(Begin("app", "c2"));

  pod().OnWrapperGone("c1");
  EXPECT_EQ(pod().OnOutcome("c1", outcome).decision, Decision::kFail);

  EXPECT_EQ(pod().OnOutcome("c2", outcome), Answer::Pass());
}

TEST_F(PodRestoreTest, WhatIsConsumedStartsColdAndCountsAsDone) {
  ASSERT_THAT(wrapper::AddConsumed(job_.state_dir, "u-1", test::SampleRecord("web-1", {"app"})),
              test::IsOk());

  EXPECT_EQ(Create("app", "c1"), Answer::Pass());

  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kColdStarted);
}

}  // namespace
}  // namespace cryopod::restore
