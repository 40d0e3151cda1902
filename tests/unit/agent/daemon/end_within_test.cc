#include "agent/daemon/end_within.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

namespace cryopod::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// The death tests' child processes hold threads.
class EndWithinTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(EndWithinTest, EndsAProcessThatIsStuck) {
  EXPECT_EXIT(
      {
        EndWithin(milliseconds(50));
        std::this_thread::sleep_for(seconds(100));
        ::_exit(7);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(EndWithinTest, DoesNotHoldUpOneThatEndsByItself) {
  EXPECT_EXIT(
      {
        EndWithin(seconds(100));
        ::exit(3);
      },
      ::testing::ExitedWithCode(3), "");
}

}  // namespace
}  // namespace cryopod::daemon
