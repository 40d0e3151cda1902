#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>

#include "agent/os/mount.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/container_marks.h"
#include "tests/support/read_text.h"
#include "tests/unit/restore/pod_restore_fixture.h"

namespace cryopod::restore {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using wrapper::Answer;
using Decision = wrapper::Answer::Decision;

class PodRestoreStartTest : public PodRestoreFixture {
 protected:
  // The node comes up with its disk alone, and the runtime makes the pod anew.
  void Reboot() {
    processes_.clear();
    sandbox_ = "s2";
    jobs::RestoreJob next = job_;
    next.staging_dir = Path("job/staging-2");
    MakePod(next);
  }
  Decision DecisionOn(const std::string& container) {
    wrapper::Request request = CreateRequest(container, container + "-in-" + sandbox_);
    request.sandbox_id = sandbox_;
    return pod().OnCreate(request).decision;
  }
  Result<wrapper::ConsumedRecord> Record() const {
    wrapper::Request request;
    request.pod_uid = job_.pod_uid;
    request.restore_from = job_.restore_from;
    return wrapper::ReadConsumed(job_.state_dir, request);
  }

  std::string sandbox_ = "s1";
};

TEST_F(PodRestoreStartTest, TheFirstContainerIsHeldAndNothingIsConsumed) {
  const wrapper::Request request = CreateRequest("app", "c1");
  const pid_t pid = Restore(request);

  EXPECT_EQ(pod().OnStart(StartRequest(request)), Answer::Pass());

  EXPECT_FALSE(IsConsumed("app"));
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kHeld);
  EXPECT_TRUE(IsHeld(request));
  EXPECT_TRUE(IsStopped(pid));
  EXPECT_TRUE(pod().release_time().has_value());
  EXPECT_FALSE(fs::exists(job_.staging_dir + "/app"));
}

TEST_F(PodRestoreStartTest, ANodeThatIsLostWhileTheFirstIsHeldRestoresAllAgain) {
  RestoreAndStart(CreateRequest("app", "c1"));

  Reboot();

  EXPECT_EQ(DecisionOn("app"), Decision::kRestore);
  EXPECT_EQ(DecisionOn("sidecar"), Decision::kRestore);
}

TEST_F(PodRestoreStartTest, TheLastContainerLetsAllRunTogetherWithOneRecord) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const wrapper::Request sidecar = CreateRequest("sidecar", "c2");
  const pid_t first = RestoreAndStart(app);
  const pid_t second = Restore(sidecar);
  ASSERT_TRUE(IsStopped(first));

  EXPECT_EQ(pod().OnStart(StartRequest(sidecar)), Answer::Pass());

  EXPECT_FALSE(IsStopped(first));
  EXPECT_FALSE(IsStopped(second));
  EXPECT_FALSE(IsHeld(app));
  EXPECT_TRUE(pod().finished());
  EXPECT_EQ(SavedReport().stage, jobs::Stage::kRestored);
  ASSERT_THAT(Record(), test::IsOk());
  EXPECT_EQ(Record()->restored.size(), 2u);
  EXPECT_EQ(Record()->operation_id, "r-1");
  EXPECT_EQ(Record()->finished.count("setup"), 1u);
}

TEST_F(PodRestoreStartTest, ANodeThatIsLostAfterThatStartsAllCold) {
  RestoreAndStart(CreateRequest("app", "c1"));
  RestoreAndStart(CreateRequest("sidecar", "c2"));

  Reboot();

  for (const char* name : {"app", "sidecar", "setup"}) {
    EXPECT_EQ(DecisionOn(name), Decision::kPass) << name;
  }
}

TEST_F(PodRestoreStartTest, WhenTheHoldEndsTheStartedOnesRunAlone) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t first = RestoreAndStart(app);

  EXPECT_THAT(pod().ReleaseHeld(), test::IsOk());

  EXPECT_FALSE(IsStopped(first));
  EXPECT_TRUE(IsConsumed("app"));
  EXPECT_FALSE(IsConsumed("sidecar"));
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kStarted);
  EXPECT_FALSE(pod().finished());
  const wrapper::Request sidecar = CreateRequest("sidecar", "c2");
  const pid_t second = Restore(sidecar);
  EXPECT_EQ(pod().OnStart(StartRequest(sidecar)), Answer::Pass());
  EXPECT_FALSE(IsStopped(second));
  EXPECT_TRUE(pod().finished());
}

TEST_F(PodRestoreStartTest, ANodeThatIsLostThenStartsAllColdAlsoWhatHasNeverRun) {
  RestoreAndStart(CreateRequest("app", "c1"));
  ASSERT_THAT(pod().ReleaseHeld(), test::IsOk());

  Reboot();

  for (const char* name : {"app", "sidecar", "setup"}) {
    EXPECT_EQ(DecisionOn(name), Decision::kPass) << name;
  }
}

TEST_F(PodRestoreStartTest, TheHoldLastsAsLongAsAnotherContainerIsBeingRestored) {
  jobs::RestoreJob job = job_;
  job.hold = std::chrono::milliseconds(0);
  MakePod(job);
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = Restore(app);
  const wrapper::Request sidecar = Begin("sidecar", "c2");

  EXPECT_EQ(pod().OnStart(StartRequest(app)), Answer::Pass());

  ASSERT_EQ(PhaseOf("app"), jobs::Phase::kHeld);
  EXPECT_FALSE(pod().release_time()->expired()) << "the other one is in flight";
  EXPECT_EQ(pod().OnOutcome("c2", RestoreProcess(sidecar)), Answer::Pass());
  EXPECT_FALSE(pod().release_time()->expired()) << "it is to be started";
  EXPECT_TRUE(IsStopped(pid));
  EXPECT_EQ(pod().OnDeleted(sidecar), Answer::Pass());
  EXPECT_TRUE(pod().release_time()->expired());
}

TEST_F(PodRestoreStartTest, AContainerThatAnExecReleasedCountsAsRunning) {
  const wrapper::Request app = CreateRequest("app", "c1");
  RestoreAndStart(app);
  EXPECT_EQ(pod().OnStart(StartRequest(app)), Answer::Pass()) << "a second start is fine";
  ASSERT_THAT(wrapper::ReleaseHeld(job_.state_dir, {app.state_dir}), test::IsOk());

  EXPECT_THAT(pod().ReleaseHeld(), test::IsOk());

  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kStarted);
  ASSERT_THAT(Record(), test::IsOk());
  EXPECT_EQ(Record()->waiting.count("sidecar"), 1u);
  EXPECT_EQ(DecisionOn("sidecar"), Decision::kRestore) << "it belongs to what runs";
}

TEST_F(PodRestoreStartTest, OneThatEndsWhileItIsHeldIsWaitedForAndRestoredAgain) {
  RestoreAndStart(CreateRequest("app", "c1"));
  ASSERT_THAT(processes_.front().Kill(SIGKILL), test::IsOk());
  const wrapper::Request sidecar = CreateRequest("sidecar", "c2");

  const pid_t second = RestoreAndStart(sidecar);

  EXPECT_TRUE(IsStopped(second));
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kFailed);
  EXPECT_FALSE(IsConsumed("app"));
  RestoreAndStart(CreateRequest("app", "c3"));
  EXPECT_FALSE(IsStopped(second));
  EXPECT_TRUE(pod().finished());
}

TEST_F(PodRestoreStartTest, OneThatIsMadeAnewWhileItIsHeldIsRestoredAgain) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = RestoreAndStart(app);

  EXPECT_TRUE(CanBeRestored("app", "c2"));

  EXPECT_TRUE(IsGone(pid));
  EXPECT_FALSE(IsHeld(app));
}

TEST_F(PodRestoreStartTest, AProcessThatHasEndedIsNotConsumed) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = Restore(app);
  ASSERT_THAT(processes_.front().Kill(SIGKILL), test::IsOk());
  ASSERT_TRUE(IsGone(pid));

  const Answer answer = pod().OnStart(StartRequest(app));

  EXPECT_EQ(answer.decision, Decision::kFail);
  EXPECT_THAT(answer.reason, HasSubstr("has ended"));
  EXPECT_FALSE(IsConsumed("app"));
  EXPECT_FALSE(IsHeld(app));
  EXPECT_TRUE(CanBeRestored("app", "c2"));
}

TEST_F(PodRestoreStartTest, NothingRunsWhenTheRecordCannotBeWritten) {
  const pid_t held = RestoreAndStart(CreateRequest("app", "c1"));
  const wrapper::Request sidecar = CreateRequest("sidecar", "c2");
  const pid_t last = Restore(sidecar);
  fs::create_directories(job_.state_dir);
  test::WriteText(job_.state_dir + "/consumed", "a file where the directory should be");

  EXPECT_EQ(pod().OnStart(StartRequest(sidecar)).decision, Decision::kFail);

  EXPECT_TRUE(IsGone(last));
  EXPECT_FALSE(IsHeld(sidecar));
  EXPECT_TRUE(IsStopped(held));
  pod().End();
  EXPECT_TRUE(IsGone(held)) << "it has never run";
}

TEST_F(PodRestoreStartTest, AnotherContainersIdOrOneThatWasNotRestoredIsRefused) {
  const wrapper::Request app = CreateRequest("app", "c1");
  Restore(app);
  wrapper::Request other = StartRequest(app);
  other.container_id = "c9";
  EXPECT_EQ(pod().OnStart(other).decision, Decision::kFail);
  other.container_name = "nobody";
  EXPECT_EQ(pod().OnStart(other).decision, Decision::kFail);

  EXPECT_EQ(pod().OnStart(StartRequest(Begin("sidecar", "c2"))).decision, Decision::kFail);
  EXPECT_FALSE(IsConsumed("sidecar"));
}

TEST_F(PodRestoreStartTest, ADeletedContainerCanBeRestoredAgain) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = Restore(app);

  EXPECT_EQ(pod().OnDeleted(app), Answer::Pass());

  EXPECT_TRUE(IsGone(pid));
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kWaiting);
  EXPECT_TRUE(CanBeRestored("app", "c2"));
}

TEST_F(PodRestoreStartTest, OneWhoseStartNobodyHasHeardOfCanBeRestoredAgain) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = RestoreAndStart(app);

  EXPECT_EQ(pod().OnDeleted(app), Answer::Pass());

  EXPECT_TRUE(IsGone(pid));
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kWaiting);
  EXPECT_FALSE(IsConsumed("app"));
}

TEST_F(PodRestoreStartTest, DeletingWhatRunsTouchesNothing) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = RestoreAndStart(app);
  ASSERT_THAT(pod().ReleaseHeld(), test::IsOk());

  EXPECT_EQ(pod().OnDeleted(app), Answer::Pass());

  EXPECT_FALSE(IsGone(pid));
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kStarted);
}

TEST_F(PodRestoreStartTest, TheEndLetsRunWhatIsHeldAndEndsWhatIsNot) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const wrapper::Request sidecar = CreateRequest("sidecar", "c2");
  const pid_t held = RestoreAndStart(app);
  const pid_t restored = Restore(sidecar);

  pod().End();

  EXPECT_FALSE(IsGone(held));
  EXPECT_FALSE(IsStopped(held));
  EXPECT_TRUE(IsConsumed("app"));
  EXPECT_TRUE(IsGone(restored));
  EXPECT_FALSE(IsMountPoint(job_.staging_dir));
  EXPECT_EQ(SavedReport().stage, jobs::Stage::kAbandoned);
}

}  // namespace
}  // namespace cryopod::restore
