#include "restore/shared_pids.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "agent/os/confinement.h"
#include "agent/os/file.h"
#include "tests/support/status_matchers.h"

namespace cryopod::restore {
namespace {

using test::IsOk;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

// The first process of a PID namespace, with this capability in its bounding set or without.
class Neighbour {
 public:
  explicit Neighbour(bool may_trace) {
    Pipe pipe = MakePipe().value();
    between_ = ::fork();
    if (between_ == 0) Live(may_trace, pipe.write_end.get());
    pipe.write_end.Reset();
    ready_ = ::read(pipe.read_end.get(), &pid_, sizeof pid_) == sizeof pid_;
    char last = 0;
    ready_ = ready_ && ::read(pipe.read_end.get(), &last, 1) == 0;
  }
  Neighbour(const Neighbour&) = delete;
  Neighbour& operator=(const Neighbour&) = delete;
  ~Neighbour() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    if (between_ > 0) ::waitpid(between_, nullptr, 0);
  }

  bool ready() const { return ready_; }
  std::string pid_namespace() const { return "/proc/" + std::to_string(pid_) + "/ns/pid"; }
  void Stop() const {
    ::kill(pid_, SIGSTOP);
    for (int i = 0; i < 1000 && !IsStopped(); ++i) ::usleep(1000);
  }

 private:
  bool IsStopped() const {
    const std::string stat = ReadFile("/proc/" + std::to_string(pid_) + "/stat").value();
    return stat.find(") T ") != std::string::npos;
  }

  // The pipe's other end sees that all is done when both processes have closed it.
  [[noreturn]] static void Live(bool may_trace, int pipe_fd) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (::unshare(CLONE_NEWPID) != 0) ::_exit(1);
    const pid_t inside = ::fork();
    if (inside == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
      ::prctl(PR_SET_NAME, "neighbour", 0, 0, 0);
      // Not in its permitted set in either case: it is the bounding set that counts.
      if (!may_trace && !EmptyBoundingSet().ok()) ::_exit(1);
      if (!GiveUpPermitted()) ::_exit(1);
      ::close(pipe_fd);
      while (true) ::pause();
    }
    const bool told = ::write(pipe_fd, &inside, sizeof inside) == sizeof inside;
    ::close(pipe_fd);
    ::waitpid(inside, nullptr, 0);
    ::_exit(told ? 0 : 1);
  }
  static bool GiveUpPermitted() {
    return ::setresuid(65534, 65534, 65534) == 0;  // takes permitted and effective set along
  }

  pid_t between_ = -1;
  pid_t pid_ = -1;
  bool ready_ = false;
};

TEST(SharedPidsTest, AProcessThatRunsAndMayTraceIsNamed) {
  const Neighbour neighbour(true);
  if (!neighbour.ready()) GTEST_SKIP() << "no right to make namespaces";

  EXPECT_THAT(CheckNobodyMayTrace(neighbour.pid_namespace()),
              StatusIs(Code::kFailedPrecondition,
                       AllOf(HasSubstr("(neighbour) runs already"), HasSubstr("restore_hold"))));
}

TEST(SharedPidsTest, AProcessThatIsStoppedDoesNothing) {
  const Neighbour neighbour(true);
  if (!neighbour.ready()) GTEST_SKIP() << "no right to make namespaces";

  neighbour.Stop();

  EXPECT_THAT(CheckNobodyMayTrace(neighbour.pid_namespace()), IsOk());
}

TEST(SharedPidsTest, AProcessThatMayNotTraceMayRun) {
  const Neighbour neighbour(false);
  if (!neighbour.ready()) GTEST_SKIP() << "no right to make namespaces";

  EXPECT_THAT(CheckNobodyMayTrace(neighbour.pid_namespace()), IsOk());
}

TEST(SharedPidsTest, ANamespaceOfTheContainersOwnHoldsNobodyElse) {
  EXPECT_THAT(CheckNobodyMayTrace(""), IsOk());
}

TEST(SharedPidsTest, ASandboxThatIsGoneIsSaid) {
  EXPECT_THAT(CheckNobodyMayTrace("/proc/4194303/ns/pid"),
              StatusIs(Code::kNotFound, HasSubstr("the pod's PID namespace")));
}

}  // namespace
}  // namespace cryopod::restore
