#include "agent/os/seccomp_filters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "tests/support/allow_all_filter.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"

namespace cryopod {
namespace {

using test::AllowAllBytes;
using test::IsOk;
using test::IsOkAnd;
using test::Soon;
using test::StatusIs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SeccompFiltersTest : public ::testing::Test {
 protected:
  ~SeccompFiltersTest() override {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }

  // Starts a process that does `prepare` and then waits.
  template <typename Prepare>
  void Start(const Prepare& prepare) {
    Result<Pipe> pipe = MakePipe();
    ASSERT_THAT(pipe, IsOk());
    child_ = ::fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) {
      if (!prepare() || ::write(pipe->write_end.get(), "r", 1) != 1) ::_exit(1);
      while (true) ::pause();
    }
    pipe->write_end.Reset();
    ASSERT_THAT(ReadReady(pipe->read_end.get()), IsOk());
  }
  static Status ReadReady(int fd) {
    char ready = 0;
    return ::read(fd, &ready, 1) == 1 ? Status() : Status(Code::kInternal, "not prepared");
  }

  pid_t child_ = 0;
};

TEST_F(SeccompFiltersTest, EveryFilterIsReadTheOldestFirst) {
  Start([] { return test::SetAllowAll(1) && test::SetAllowAll(2, SECCOMP_FILTER_FLAG_LOG); });

  EXPECT_THAT(ReadSeccompFilters(child_, Soon()),
              IsOkAnd(ElementsAre(SeccompFilter{{AllowAllBytes(1)}, 0},
                                  SeccompFilter{{AllowAllBytes(2)}, SECCOMP_FILTER_FLAG_LOG})));
}

TEST_F(SeccompFiltersTest, AProcessWithoutAnyHasNone) {
  Start([] { return true; });

  EXPECT_THAT(ReadSeccompFilters(child_, Soon()), IsOkAnd(IsEmpty()));
}

TEST_F(SeccompFiltersTest, AfterwardsTheProcessGoesOn) {
  Start([] { return test::SetAllowAll(1); });
  ASSERT_THAT(ReadSeccompFilters(child_, Soon()), IsOk());

  EXPECT_THAT(ReadSeccompFilters(child_, Soon()), IsOk()) << "nobody traces it any more";
  const Result<ProcessInfo> info = ReadProcessInfo(child_);
  ASSERT_THAT(info, IsOk());
  EXPECT_TRUE(info->state == 'S' || info->state == 'R') << info->state;
}

TEST_F(SeccompFiltersTest, MoreThanItsLimitAreRefused) {
  Start([] {
    for (uint16_t i = 0; i <= kSeccompFiltersMax; ++i) {
      if (!test::SetAllowAll(i)) return false;
    }
    return true;
  });

  EXPECT_THAT(ReadSeccompFilters(child_, Soon()), StatusIs(Code::kResourceExhausted));
}

TEST_F(SeccompFiltersTest, AProcessThatIsNotThereIsNamed) {
  EXPECT_THAT(ReadSeccompFilters(1 << 22, Soon()),
              StatusIs(Code::kNotFound, ::testing::HasSubstr("thread 4194304")));
}

}  // namespace
}  // namespace cryopod
