#include "agent/checkpoint/quiet_moment.h"

#include <filesystem>
#include <optional>

#include "agent/os/door.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/container_processes.h"

namespace cryopod::checkpoint {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::Soon;
using cryopod::test::StatusIs;
using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;

Deadline Shortly() { return Deadline::After(milliseconds(50)); }

class QuietMomentTest : public test::LeafTest {
 protected:
  void SetUp() override {
    LeafTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(container_.ready());
    Enter(container_.init());
    pod_.targets.push_back(Target("app", container_.init()));
    fs::create_directory(door());
  }
  fs::path door() const { return runtime_root_.path() / pod_.targets[0].requested.id; }
  // A process in the container that does not descend from its first one.
  void ComeIn() {
    exec_.emplace(0);
    ASSERT_TRUE(exec_->ready());
    Enter(exec_->init());
  }

  const test::NamespaceHolder container_{CLONE_NEWPID};
  std::optional<test::NamespaceHolder> exec_;
  ResolvedPod pod_;
  const cryopod::test::TempDirectory runtime_root_;
};

TEST_F(QuietMomentTest, WithoutAnExecItIsAtOnce) {
  EXPECT_THAT(WaitUntilExecsHaveEnded(pod_, Deadline::After(milliseconds(0))), IsOk());
}

TEST_F(QuietMomentTest, AnExecThatEndsIsWaitedForAndOneThatStaysIsNamed) {
  ComeIn();

  EXPECT_THAT(WaitUntilExecsHaveEnded(pod_, Shortly()),
              StatusIs(Code::kAborted, AllOf(HasSubstr("container app"),
                                             HasSubstr(std::to_string(exec_->init())))));

  std::jthread ends([this] { exec_->Kill(); });
  EXPECT_THAT(WaitUntilExecsHaveEnded(pod_, Soon()), IsOk());
}

TEST_F(QuietMomentTest, AZombieOfAnExecIsNoExecAnyMore) {
  ComeIn();

  exec_->BecomeZombie();

  EXPECT_THAT(WaitUntilExecsHaveEnded(pod_, Soon()), IsOk());
}

TEST_F(QuietMomentTest, TheEndOfTheNextExecIsWaitedFor) {
  const Deadline long_before = Deadline::After(std::chrono::seconds(20));
  std::jthread waits([&] { EXPECT_THAT(WaitForTheEndOfAnExec(pod_, Soon()), IsOk()); });

  // Whatever it has seen before: one of these comes and ends while it looks.
  std::atomic<bool> done = false;
  std::jthread comes_and_goes([&] {
    while (!done) {
      ComeIn();
      std::this_thread::sleep_for(milliseconds(20));
      exec_->Kill();
      std::this_thread::sleep_for(milliseconds(20));
    }
  });
  waits.join();
  done = true;

  EXPECT_FALSE(long_before.expired());
}

TEST_F(QuietMomentTest, WhereNoneComesItIsNotWaitedForLonger) {
  EXPECT_THAT(WaitForTheEndOfAnExec(pod_, Shortly()), IsOk());
}

TEST_F(QuietMomentTest, DoorsAreClosedForAsLongAsTheyAreHeld) {
  {
    const ClosedDoors closed = ClosedDoors::Of(pod_, runtime_root_.path(), Soon());
    EXPECT_THAT(EnterDoor(door(), Shortly()), StatusIs(Code::kDeadlineExceeded));
  }

  EXPECT_THAT(EnterDoor(door(), Shortly()), IsOk());
}

TEST_F(QuietMomentTest, ADoorThatDoesNotGetFreeOrIsAbsentHindersNobody) {
  const Result<UniqueFd> in_it = EnterDoor(door(), Soon());

  { const ClosedDoors closed = ClosedDoors::Of(pod_, runtime_root_.path(), Shortly()); }
  const ClosedDoors none = ClosedDoors::Of(pod_, "/nowhere", Soon());

  EXPECT_THAT(EnterDoor(door(), Shortly()), IsOk());
}

}  // namespace
}  // namespace cryopod::checkpoint
