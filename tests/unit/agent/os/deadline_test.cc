#include "agent/os/deadline.h"

#include <gtest/gtest.h>

#include <climits>

namespace cryopod {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

TEST(DeadlineTest, OneThatHasPassedLeavesNothingAndIsNeverNegative) {
  const Deadline deadline = Deadline::After(milliseconds(-50));

  EXPECT_TRUE(deadline.expired());
  EXPECT_EQ(deadline.remaining(), nanoseconds(0));
  EXPECT_EQ(deadline.poll_timeout_ms(), 0);
}

TEST(DeadlineTest, OneAheadHasNotExpired) {
  const Deadline deadline = Deadline::After(hours(1));

  EXPECT_FALSE(deadline.expired());
  EXPECT_GT(deadline.remaining(), milliseconds(3'590'000));
}

TEST(DeadlineTest, APollNeverEndsBeforeIt) {
  const Deadline deadline = Deadline::After(microseconds(900));

  // Rounding down would make a busy loop of the last millisecond.
  if (!deadline.expired()) {
    EXPECT_EQ(deadline.poll_timeout_ms(), 1);
  }
}

TEST(DeadlineTest, APollTimeoutFitsItsType) {
  EXPECT_EQ(Deadline::After(hours(24 * 365)).poll_timeout_ms(), 3'600'000);
}

TEST(DeadlineTest, SoonerIsTheEarlierOfTwo) {
  const Deadline near = Deadline::After(hours(1));
  const Deadline far = Deadline::After(hours(2));

  EXPECT_EQ(near.Sooner(far).instant(), near.instant());
  EXPECT_EQ(far.Sooner(near).instant(), near.instant());
  EXPECT_EQ(near.SoonerAfter(hours(3)).instant(), near.instant());
  EXPECT_LT(near.SoonerAfter(milliseconds(1)).instant(), near.instant());
}

TEST(DeadlineTest, AnInstantIsKeptAsItIs) {
  const Deadline::Clock::time_point instant = Deadline::Clock::now();

  EXPECT_EQ(Deadline::At(instant).instant(), instant);
}

}  // namespace
}  // namespace cryopod
