#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>

#include "agent/os/mount.h"
#include "restore/runtime/protocol/container_marks.h"
#include "tests/support/read_text.h"
#include "tests/unit/restore/pod_restore_fixture.h"

namespace cryopod::restore {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using wrapper::Answer;
using Decision = wrapper::Answer::Decision;

class PodRestoreStartTest : public PodRestoreFixture {};

TEST_F(PodRestoreStartTest, TheFirstContainerIsHeldAndConsumed) {
  const wrapper::Request request = CreateRequest("app", "c1");
  const pid_t pid = Restore(request);
  EXPECT_FALSE(IsConsumed("app"));

  EXPECT_EQ(pod().OnStart(StartRequest(request)), Answer::Pass());

  EXPECT_TRUE(IsConsumed("app"));
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kHeld);
  EXPECT_TRUE(IsHeld(request));
  EXPECT_TRUE(IsStopped(pid));
  EXPECT_TRUE(pod().hold_end().has_value());
  EXPECT_FALSE(fs::exists(job_.staging_dir + "/app"));
}

TEST_F(PodRestoreStartTest, TheLastContainerLetsAllRunTogether) {
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
}

TEST_F(PodRestoreStartTest, WhenTheHoldEndsTheStartedOnesRunAlone) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t first = RestoreAndStart(app);

  pod().ReleaseHeld();

  EXPECT_FALSE(IsStopped(first));
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kStarted);
  EXPECT_FALSE(pod().finished());
  // The barrier is open from then on.
  const wrapper::Request sidecar = CreateRequest("sidecar", "c2");
  const pid_t second = Restore(sidecar);
  EXPECT_EQ(pod().OnStart(StartRequest(sidecar)), Answer::Pass());
  EXPECT_FALSE(IsStopped(second));
  EXPECT_TRUE(pod().finished());
}

TEST_F(PodRestoreStartTest, AContainerThatAnExecReleasedCountsAsRunning) {
  const wrapper::Request app = CreateRequest("app", "c1");
  RestoreAndStart(app);
  EXPECT_EQ(pod().OnStart(StartRequest(app)), Answer::Pass()) << "a second start is fine";
  ASSERT_THAT(wrapper::ReleaseHeld(app.state_dir), test::IsOk());

  pod().ReleaseHeld();

  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kStarted);
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
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = Restore(app);
  fs::create_directories(job_.state_dir);
  test::WriteText(job_.state_dir + "/consumed", "a file where the directory should be");

  EXPECT_EQ(pod().OnStart(StartRequest(app)).decision, Decision::kFail);

  EXPECT_TRUE(IsGone(pid));
  EXPECT_FALSE(IsHeld(app));
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

TEST_F(PodRestoreStartTest, DeletingWhatRunsTouchesNothing) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const pid_t pid = RestoreAndStart(app);

  EXPECT_EQ(pod().OnDeleted(app), Answer::Pass());

  EXPECT_FALSE(IsGone(pid));
  EXPECT_EQ(PhaseOf("app"), jobs::Phase::kHeld);
}

TEST_F(PodRestoreStartTest, TheEndLetsRunWhatIsConsumedAndEndsWhatIsNot) {
  const wrapper::Request app = CreateRequest("app", "c1");
  const wrapper::Request sidecar = CreateRequest("sidecar", "c2");
  const pid_t consumed = RestoreAndStart(app);
  const pid_t restored = Restore(sidecar);

  pod().End();

  EXPECT_FALSE(IsGone(consumed));
  EXPECT_FALSE(IsStopped(consumed));
  EXPECT_TRUE(IsGone(restored));
  EXPECT_FALSE(IsMountPoint(job_.staging_dir));
  EXPECT_EQ(SavedReport().stage, jobs::Stage::kAbandoned);
}

}  // namespace
}  // namespace cryopod::restore
