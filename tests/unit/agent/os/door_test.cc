#include "agent/os/door.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "agent/os/file.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

using std::chrono::milliseconds;
using test::IsOk;
using test::Soon;
using test::StatusIs;

class DoorTest : public ::testing::Test {
 protected:
  Result<UniqueFd> Enter(Deadline deadline = Deadline::After(milliseconds(10))) const {
    return EnterDoor(temp_.path(), deadline);
  }
  Result<UniqueFd> Close(Deadline deadline = Deadline::After(milliseconds(10))) const {
    return CloseDoor(temp_.path(), deadline);
  }

  const test::TempDirectory temp_;
};

TEST_F(DoorTest, ManyAreInAtOnceAndNobodyClosesItUntilTheLastHasLeft) {
  Result<UniqueFd> one = Enter();
  Result<UniqueFd> other = Enter();
  ASSERT_THAT(one, IsOk());
  ASSERT_THAT(other, IsOk());

  EXPECT_THAT(Close(), StatusIs(Code::kDeadlineExceeded));
  one->Reset();
  EXPECT_THAT(Close(), StatusIs(Code::kDeadlineExceeded));
  other->Reset();
  EXPECT_THAT(Close(), IsOk());
}

TEST_F(DoorTest, ClosedItLetsNobodyInUntilItIsOpened) {
  Result<UniqueFd> closed = Close();
  ASSERT_THAT(closed, IsOk());

  EXPECT_THAT(Enter(), StatusIs(Code::kDeadlineExceeded));
  closed->Reset();
  EXPECT_THAT(Enter(), IsOk());
}

TEST_F(DoorTest, WhoeverWaitsGetsInAsSoonAsItIsOpened) {
  Result<UniqueFd> closed = Close();
  ASSERT_THAT(closed, IsOk());
  std::thread opener([&] {
    std::this_thread::sleep_for(milliseconds(20));
    closed->Reset();
  });

  EXPECT_THAT(Enter(Soon()), IsOk());
  opener.join();
}

TEST_F(DoorTest, OneThatIsKilledHasOpenedIt) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Pipe closed, MakePipe());
  const pid_t closer = ::fork();
  if (closer == 0) {
    const Result<UniqueFd> door = Close(Soon());
    static_cast<void>(::write(closed.write_end.get(), "c", 1) == 1);
    while (true) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(closed.read_end.get(), &byte, 1), 1);
  EXPECT_THAT(Enter(), StatusIs(Code::kDeadlineExceeded));

  ::kill(closer, SIGKILL);
  ASSERT_EQ(::waitpid(closer, nullptr, 0), closer);

  EXPECT_THAT(Enter(), IsOk());
}

TEST_F(DoorTest, WhatIsAbsentIsNoDoor) {
  EXPECT_THAT(EnterDoor(temp_.path() / "absent", Soon()), StatusIs(Code::kNotFound));
}

}  // namespace
}  // namespace cryopod
