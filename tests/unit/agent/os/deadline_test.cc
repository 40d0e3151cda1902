#include "agent/os/deadline.h"

#include <gtest/gtest.h>

namespace cryopod {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

TEST(DeadlineTest, OneThatHasPassedLeavesNothingAndIsNeverNegative) {
  const Deadline passed = Deadline::After(milliseconds(-50));
  const Deadline ahead = Deadline::After(hours(1));

  EXPECT_TRUE(passed.expired());
  EXPECT_EQ(passed.remaining(), nanoseconds(0));
  EXPECT_EQ(passed.poll_timeout_ms(), 0);
  EXPECT_FALSE(ahead.expired());
  EXPECT_GT(ahead.remaining(), milliseconds(3'590'000));
}

TEST(DeadlineTest, APollNeverEndsBeforeItAndItsTimeoutFits) {
  Deadline deadline = Deadline::After(microseconds(0));
  int timeout_ms = 0;
  while (deadline.expired()) {  // before it was looked at: this process was kept waiting
    deadline = Deadline::After(microseconds(900));
    timeout_ms = deadline.poll_timeout_ms();
  }

  // Rounding down would make a busy loop of the last millisecond.
  EXPECT_EQ(timeout_ms, 1);
  EXPECT_EQ(Deadline::After(hours(24 * 365)).poll_timeout_ms(), 3'600'000);
}

TEST(DeadlineTest, SoonerIsTheEarlierOfTwo) {
  const Deadline near = Deadline::At(Deadline::Clock::now() + hours(1));
  const Deadline far = Deadline::After(hours(2));

  EXPECT_EQ(near.Sooner(far).instant(), near.instant());
  EXPECT_EQ(far.Sooner(near).instant(), near.instant());
  EXPECT_EQ(near.SoonerAfter(hours(3)).instant(), near.instant());
  EXPECT_LT(near.SoonerAfter(milliseconds(1)).instant(), near.instant());
}

}  // namespace
}  // namespace cryopod
