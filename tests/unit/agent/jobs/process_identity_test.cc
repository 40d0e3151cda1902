#include "agent/jobs/process_identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/support/status_matchers.h"

namespace cryopod::jobs {
namespace {

using cryopod::test::StatusIs;

pid_t Child() {
  const pid_t pid = ::fork();
  while (pid == 0) ::pause();
  return pid;
}

TEST(ProcessIdentityTest, WeLiveAndAnotherStartTimeIsSomebodyElse) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ProcessIdentity self, IdentifyProcess(::getpid()));
  EXPECT_TRUE(IsAlive(self));

  ++self.start_ticks;  // the PID was given to another process

  EXPECT_FALSE(IsAlive(self));
  EXPECT_FALSE(JobProcess(self).alive());
  EXPECT_FALSE(JobProcess().alive());
}

TEST(ProcessIdentityTest, AZombieAndAReapedChildAreDead) {
  const pid_t pid = Child();
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ProcessIdentity child, IdentifyProcess(pid));
  ASSERT_TRUE(IsAlive(child));

  ::kill(pid, SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(IsAlive(child));
  ::waitpid(pid, nullptr, 0);
  EXPECT_FALSE(IsAlive(child));
  EXPECT_THAT(IdentifyProcess(pid), StatusIs(Code::kNotFound));
}

TEST(JobProcessTest, IsAskedToEndAndSeenToHaveEnded) {
  const pid_t pid = Child();
  const JobProcess process(IdentifyProcess(pid).value());
  ASSERT_TRUE(process.alive());

  process.AskToEnd();

  EXPECT_TRUE(process.Ended(Deadline::After(std::chrono::seconds(20))));
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
  EXPECT_FALSE(process.alive());
  process.AskToEnd();
}

}  // namespace
}  // namespace cryopod::jobs
