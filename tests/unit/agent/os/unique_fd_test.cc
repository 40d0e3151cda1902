#include "agent/os/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace cryopod {
namespace {

UniqueFd OpenNull() { return UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)); }
bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFdTest, ClosesWhenItGoes) {
  int number = -1;
  {
    const UniqueFd fd = OpenNull();
    number = fd.get();
    ASSERT_TRUE(IsOpen(number));
  }

  EXPECT_FALSE(IsOpen(number));
}

TEST(UniqueFdTest, AMoveTakesTheDescriptorAlong) {
  UniqueFd from = OpenNull();
  const int number = from.get();

  const UniqueFd to = std::move(from);

  EXPECT_EQ(to.get(), number);
  EXPECT_FALSE(from.valid());  // NOLINT(bugprone-use-after-move): its state is promised
  EXPECT_TRUE(IsOpen(number));
}

TEST(UniqueFdTest, MoveAssignmentClosesWhatItHeld) {
  UniqueFd fd = OpenNull();
  const int old_number = fd.get();
  UniqueFd other = OpenNull();
  const int new_number = other.get();

  fd = std::move(other);

  EXPECT_EQ(fd.get(), new_number);
  EXPECT_FALSE(IsOpen(old_number));
}

TEST(UniqueFdTest, ReleaseGivesItAwayOpen) {
  UniqueFd fd = OpenNull();
  const int number = fd.Release();

  EXPECT_FALSE(fd.valid());
  EXPECT_TRUE(IsOpen(number));
  ::close(number);
}

TEST(UniqueFdTest, ResetKeepsErrno) {
  UniqueFd not_open(::fcntl(OpenNull().get(), F_DUPFD_CLOEXEC, 500));
  ::close(not_open.get());  // so that the close in Reset fails with EBADF
  errno = ENOSPC;

  not_open.Reset();

  EXPECT_EQ(errno, ENOSPC);
}

}  // namespace
}  // namespace cryopod
