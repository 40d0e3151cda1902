#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "agent/os/door.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/restore/runtime/wrapper_fixture.h"

namespace cryopod::wrapper {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using test::IsOk;
using test::Soon;
using test::StatusIs;
using ::testing::SizeIs;

Deadline Shortly() { return Deadline::After(milliseconds(50)); }

class ExecTest : public WrapperFixture {
 protected:
  void SetUp() override {
    WrapperFixture::SetUp();
    fs::create_directories(state_dir());
  }
  // The OCI runtime's next call ends only when `release` is called, and says that it is there.
  void MakeRuntimeWait() {
    test::WriteText(Path("fake-runtime"), "#!/bin/sh\necho \"$*\" >>" + Path("calls") +
                                              "\nuntil [ -e " + Path("release") +
                                              " ]; do sleep 0.01; done\n");
  }
  void Release() { test::WriteText(Path("release"), ""); }
  void WaitForRuntime() const {
    const Deadline deadline = Soon();
    while (!fs::exists(Path("calls")) && !deadline.expired()) {
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
};

TEST_F(ExecTest, ItWaitsAsLongAsACheckpointHasTheDoorClosed) {
  Result<UniqueFd> closed = CloseDoor(state_dir(), Soon());
  ASSERT_THAT(closed, IsOk());
  std::atomic<bool> has_ended = false;
  std::jthread exec([&] {
    EXPECT_EQ(Call({"exec", "--detach", "--process", "/p", "c1"}), 0);
    has_ended = true;
  });
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_FALSE(has_ended);
  EXPECT_FALSE(fs::exists(Path("calls"))) << "nothing has begun";

  closed->Reset();

  exec.join();
  EXPECT_THAT(RuntimeCalls(), SizeIs(1));
}

TEST_F(ExecTest, OneThatIsDetachedIsInTheDoorUntilTheRuntimeHasEnded) {
  MakeRuntimeWait();
  std::jthread exec([this] { EXPECT_EQ(Call({"exec", "-d", "--process", "/p", "c1"}), 0); });
  WaitForRuntime();

  EXPECT_THAT(CloseDoor(state_dir(), Shortly()), StatusIs(Code::kDeadlineExceeded));

  Release();
  exec.join();
  EXPECT_THAT(CloseDoor(state_dir(), Soon()), IsOk());
}

TEST_F(ExecTest, ASessionThatLastsDoesNotKeepTheDoorOpen) {
  MakeRuntimeWait();
  std::jthread exec([this] { EXPECT_EQ(Call({"exec", "--tty", "c1", "sh"}), 0); });
  WaitForRuntime();

  EXPECT_THAT(CloseDoor(state_dir(), Shortly()), IsOk());

  Release();
}

TEST_F(ExecTest, WithoutADoorItGoesThrough) {
  fs::remove_all(Path("root"));

  EXPECT_EQ(Call({"exec", "-d", "c1", "true"}), 0);

  EXPECT_THAT(RuntimeCalls(), SizeIs(1));
}

TEST_F(ExecTest, ADoorThatStaysClosedIsOpenedAfterTwentySeconds) {
  const Result<UniqueFd> closed = CloseDoor(state_dir(), Soon());
  const Deadline nineteen = Deadline::After(std::chrono::seconds(19));

  EXPECT_EQ(Call({"exec", "-d", "c1", "true"}), 0);

  EXPECT_TRUE(nineteen.expired());
  EXPECT_THAT(RuntimeCalls(), SizeIs(1));
}

}  // namespace
}  // namespace cryopod::wrapper
