#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "agent/os/subprocess.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

using std::chrono::seconds;
using test::IsOk;
using test::IsOkAnd;
using test::Soon;
using test::StatusIs;
using ::testing::HasSubstr;

SpawnOptions Shell(const std::string& script) {
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", script};
  return options;
}

std::string OutputOf(const SpawnOptions& options) {
  Result<CommandOutput> output = RunCommand(options, Soon());
  if (!output.ok()) return "error: " + output.status().message();
  return output->text;
}

UniqueFd FileWith(const std::string& text) {
  const std::string folder = std::filesystem::temp_directory_path();
  UniqueFd file(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!WriteAll(file.get(), text).ok()) ADD_FAILURE() << "cannot write";
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

TEST(SpawnOptionsTest, ANameIsLookedUpInPath) {
  SpawnOptions options;
  options.argv = {"echo", "hello"};

  EXPECT_EQ(OutputOf(options), "hello\n");
}

TEST(SpawnOptionsTest, TheEnvironmentIsEmptyUnlessGiven) {
  ::setenv("CRYOPOD_TEST_SECRET", "x", 1);
  SpawnOptions options;
  options.argv = {"/usr/bin/env"};

  EXPECT_EQ(OutputOf(options), "");
  options.environment = {"A=1", "B=two words"};
  EXPECT_EQ(OutputOf(options), "A=1\nB=two words\n");
}

TEST(SpawnOptionsTest, AnInheritedEnvironmentYieldsToWhatIsAdded) {
  ::setenv("CRYOPOD_TEST_KEPT", "ours", 1);
  ::setenv("CRYOPOD_TEST_REPLACED", "ours", 1);
  SpawnOptions options = Shell("echo $CRYOPOD_TEST_KEPT $CRYOPOD_TEST_REPLACED");
  options.inherit_environment = true;
  options.environment = {"CRYOPOD_TEST_REPLACED=added"};

  EXPECT_EQ(OutputOf(options), "ours added\n");
}

TEST(SpawnOptionsTest, TheProgramStartsInItsDirectory) {
  test::TempDirectory temp;
  SpawnOptions options = Shell("pwd -P");
  options.working_directory = temp.path();

  EXPECT_EQ(OutputOf(options), std::filesystem::canonical(temp.path()).string() + "\n");
  options.working_directory = temp.path() / "absent";
  EXPECT_THAT(Subprocess::Spawn(options), StatusIs(Code::kNotFound, HasSubstr("chdir")));
}

TEST(SpawnOptionsTest, DescriptorsGetTheirNumbersAlsoWhereTheyOverlap) {
  // The sources have each other's target numbers, so that any order of dup2 alone would lose one.
  const UniqueFd first = FileWith("first");
  const UniqueFd second = FileWith("second");
  SpawnOptions options =
      Shell("cat /dev/fd/" + std::to_string(first.get()) + "; echo; cat /dev/fd/" +
            std::to_string(second.get()) + "; echo; cat <&0");
  options.descriptors = {
      {first.get(), second.get()}, {second.get(), first.get()}, {0, first.get()}};

  const std::string output = OutputOf(options);

  // /dev/fd opens the file anew, at its start; descriptor 0 shares the offset of `first`.
  EXPECT_EQ(output, "second\nfirst\nfirst");
}

TEST(SpawnOptionsTest, OneDescriptorMayHaveSeveralNumbers) {
  const UniqueFd file = FileWith("text");
  SpawnOptions options = Shell("cat /dev/fd/5 /dev/fd/9");
  options.descriptors = {{5, file.get()}, {9, file.get()}};

  EXPECT_EQ(OutputOf(options), "texttext");
}

TEST(SpawnOptionsTest, NothingElseIsInherited) {
  // Open and without close-on-exec.
  const UniqueFd stray(::open("/dev/null", O_RDONLY));
  ASSERT_EQ(::fcntl(stray.get(), F_GETFD), 0);
  const UniqueFd file = FileWith("");
  SpawnOptions options;
  options.argv = {"/bin/sleep", "60"};
  options.descriptors = {{7, file.get()}};
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(options));

  // A program that has just been started still reads its libraries; what it inherits stays.
  const Deadline deadline = Deadline::After(seconds(10));
  Result<std::vector<int>> numbers = ListDescriptors(child.pid());
  while (numbers.ok() && numbers->size() > 4 && !deadline.expired()) {
    numbers = ListDescriptors(child.pid());
  }

  EXPECT_THAT(numbers, IsOkAnd(::testing::ElementsAre(0, 1, 2, 7)));
  EXPECT_THAT(ReadProcLink(child.pid(), "fd/0"), IsOkAnd(std::string("/dev/null")));
  EXPECT_THAT(ReadProcLink(child.pid(), "fd/2"), IsOkAnd(std::string("/dev/null")));
  EXPECT_THAT(child.Kill(SIGKILL), IsOk());
  EXPECT_THAT(child.Wait(Soon()), IsOk());
}

TEST(SpawnOptionsTest, ADescriptorThatIsNotOpenIsAnError) {
  SpawnOptions options = Shell("exit 0");
  options.descriptors = {{5, 987}};
  EXPECT_THAT(Subprocess::Spawn(options),
              StatusIs(Code::kFailedPrecondition, HasSubstr("descriptors")));
  options.descriptors = {{5, -1}};
  EXPECT_THAT(Subprocess::Spawn(options), StatusIs(Code::kInvalidArgument));
}

TEST(SpawnOptionsTest, ANewSessionIsLedByTheChild) {
  SpawnOptions options;
  options.argv = {"/bin/sleep", "60"};
  options.new_session = true;
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(options));

  EXPECT_EQ(::getsid(child.pid()), child.pid());
  EXPECT_NE(::getsid(0), child.pid());
  EXPECT_THAT(child.Kill(SIGKILL), IsOk());
  EXPECT_THAT(child.Wait(Soon()), IsOk());
}

TEST(SpawnOptionsTest, TheUmaskIsWhatIsAsked) {
  SpawnOptions options = Shell("umask");
  options.umask = 077;

  EXPECT_EQ(OutputOf(options), "0077\n");
}

TEST(SpawnOptionsTest, SignalsAreAsTheKernelStartsAProcess) {
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  struct sigaction old {};
  ASSERT_EQ(::sigaction(SIGPIPE, &ignore, &old), 0);
  sigset_t blocked;
  sigset_t old_mask;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &old_mask);
  SpawnOptions options;
  options.argv = {"/bin/grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"};

  const std::string output = OutputOf(options);

  ::sigaction(SIGPIPE, &old, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &old_mask, nullptr);
  EXPECT_EQ(output, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST(SpawnOptionsTest, SpawningLeavesOurOwnMaskAlone) {
  sigset_t before;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &before);

  EXPECT_EQ(OutputOf(Shell("echo x")), "x\n");

  sigset_t after;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    EXPECT_EQ(::sigismember(&before, signal), ::sigismember(&after, signal)) << signal;
  }
}

// A process of its own that spawns, tells the PID of its child and ends.
pid_t SpawnFromAParentThatEnds(int death_signal) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return -1;
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t parent = ::fork();
  if (parent == 0) {
    SpawnOptions options;
    options.argv = {"/bin/sleep", "60"};
    options.death_signal = death_signal;
    const Result<Subprocess> child = Subprocess::Spawn(options);
    const pid_t pid = child.ok() ? child->pid() : -1;
    ::_exit(::write(write_end.get(), &pid, sizeof pid) == sizeof pid ? 0 : 1);
  }
  write_end.Reset();
  pid_t pid = -1;
  if (::read(read_end.get(), &pid, sizeof pid) != sizeof pid) pid = -1;
  ::waitpid(parent, nullptr, 0);
  return pid;
}

TEST(SpawnOptionsTest, TheDeathSignalEndsTheChildWithItsParent) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  const pid_t pid = SpawnFromAParentThatEnds(SIGKILL);
  ASSERT_GT(pid, 0);

  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);

  ::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST(SpawnOptionsTest, WithoutADeathSignalTheChildOutlivesItsParent) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  const pid_t pid = SpawnFromAParentThatEnds(0);
  ASSERT_GT(pid, 0);

  EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), 0);

  ::kill(pid, SIGKILL);
  EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

TEST(SpawnOptionsTest, ACgroupThatCannotBeEnteredIsAnError) {
  test::TempDirectory temp;  // has no cgroup.procs
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd dir, OpenDirectory(temp.path()));
  SpawnOptions options = Shell("exit 0");
  options.cgroup_dir_fds = {dir.get()};

  EXPECT_THAT(Subprocess::Spawn(options), StatusIs(Code::kNotFound, HasSubstr("cgroup")));
}

}  // namespace
}  // namespace cryopod
