#include "agent/os/subprocess.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "agent/os/file.h"
#include "agent/os/proc.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod {
namespace {

using std::chrono::milliseconds;
using test::IsOk;
using test::IsOkAnd;
using test::Soon;
using test::StatusIs;
using ::testing::HasSubstr;

SpawnOptions Program(std::vector<std::string> argv) {
  SpawnOptions options;
  options.argv = std::move(argv);
  return options;
}
SpawnOptions Shell(const std::string& script) { return Program({"/bin/sh", "-c", script}); }
SpawnOptions Sleep() { return Program({"/bin/sleep", "60"}); }

// Gone, not a zombie.
bool IsGone(pid_t pid) { return ::kill(pid, 0) == -1 && errno == ESRCH; }

TEST(SubprocessTest, ReportsTheExitCodeAndReapsOnce) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(Shell("exit 7")));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ExitStatus exit, child.Wait(Soon()));

  EXPECT_EQ(exit.exit_code, 7);
  EXPECT_EQ(exit.signal, 0);
  EXPECT_FALSE(exit.success());
  EXPECT_EQ(exit.Describe(), "exit code 7");
  EXPECT_TRUE(IsGone(child.pid()));
  EXPECT_THAT(child.Wait(Soon()), StatusIs(Code::kFailedPrecondition));
  EXPECT_THAT(child.Kill(SIGTERM), StatusIs(Code::kNotFound));
  EXPECT_THAT(OpenPidfd(child.pid()), StatusIs(Code::kNotFound));
}

TEST(SubprocessTest, ReportsTheSignalThatEndedIt) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(Sleep()));
  ASSERT_THAT(child.Kill(SIGTERM), IsOk());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ExitStatus exit, child.Wait(Soon()));

  EXPECT_EQ(exit.exit_code, -1);
  EXPECT_EQ(exit.Describe(), "killed by signal 15");
}

TEST(SubprocessTest, KillsAndReapsAChildThatOutlivesItsDeadline) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(Sleep()));

  const Result<ExitStatus> exit = child.Wait(Deadline::After(milliseconds(50)));

  EXPECT_THAT(exit, StatusIs(Code::kDeadlineExceeded));
  EXPECT_TRUE(IsGone(child.pid()));
}

TEST(SubprocessTest, WaitOnlyLeavesAChildRunningThatOutlivesItsDeadline) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(Sleep()));

  EXPECT_THAT(child.WaitOnly(Deadline::After(milliseconds(50))), StatusIs(Code::kDeadlineExceeded));

  EXPECT_FALSE(IsGone(child.pid()));
  EXPECT_THAT(child.Kill(SIGKILL), IsOk());
  EXPECT_THAT(child.Wait(Soon()), IsOk());
}

TEST(SubprocessTest, DestructionLeavesAChildRunning) {
  pid_t pid = -1;
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, Subprocess::Spawn(Sleep()));
    pid = child.pid();
  }

  EXPECT_FALSE(IsGone(pid));
  ::kill(pid, SIGKILL);
  EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
}

TEST(SubprocessTest, DestructionReapsAChildThatHasEnded) {
  pid_t pid = -1;
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, Subprocess::Spawn(Shell("exit 0")));
    pid = child.pid();
    ASSERT_TRUE(PidfdEnded(child.pidfd(), Soon()));
  }

  EXPECT_TRUE(IsGone(pid));
}

TEST(SubprocessTest, AProgramThatIsNotThereIsAnError) {
  EXPECT_THAT(Subprocess::Spawn(Program({"/nowhere/program"})),
              StatusIs(Code::kNotFound, HasSubstr("exec /nowhere/program")));
  EXPECT_THAT(Subprocess::Spawn(Program({"no-such-program-anywhere"})),
              StatusIs(Code::kNotFound, HasSubstr("no-such-program-anywhere")));
  EXPECT_THAT(Subprocess::Spawn(SpawnOptions()), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(Subprocess::Spawn(Program({"/etc/passwd"})), StatusIs(Code::kPermissionDenied));
  // The child that failed is reaped.
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(SubprocessTest, ManyThreadsMaySpawnAtOnce) {
  std::atomic<int> successes{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&successes] {
      for (int k = 0; k < 20; ++k) {
        Result<Subprocess> child = Subprocess::Spawn(Shell("exit 5"));
        if (!child.ok()) return;
        const Result<ExitStatus> exit = child->Wait(Soon());
        if (exit.ok() && exit->exit_code == 5) ++successes;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(successes, 8 * 20);
}

TEST(OpenPidfdTest, SeesTheEndOfAProcess) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(Sleep()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd pidfd, OpenPidfd(child.pid()));

  EXPECT_FALSE(PidfdEnded(pidfd.get(), Deadline::After(milliseconds(20))));
  ASSERT_THAT(child.Kill(SIGKILL), IsOk());
  EXPECT_TRUE(PidfdEnded(pidfd.get(), Soon()));
  EXPECT_FALSE(PidfdEnded(987, Soon()));  // not open
  EXPECT_FALSE(PidfdEnded(-1, Deadline::After(milliseconds(1))));
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

TEST(SpawnOptionsTest, ANameIsLookedUpInOurPathAndTheEnvironmentIsEmptyUnlessGiven) {
  ::setenv("CRYOPOD_TEST_SECRET", "x", 1);
  SpawnOptions options = Program({"env"});

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

TEST(SpawnOptionsTest, DescriptorsGetTheirNumbersAlsoWhereTheyOverlapAndOneHasSeveral) {
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

TEST(SpawnOptionsTest, NothingElseIsInherited) {
  // Open and without close-on-exec.
  const UniqueFd stray(::open("/dev/null", O_RDONLY));
  ASSERT_EQ(::fcntl(stray.get(), F_GETFD), 0);
  const UniqueFd file = FileWith("");
  SpawnOptions options = Sleep();
  options.descriptors = {{7, file.get()}};
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess child, Subprocess::Spawn(options));

  // A program that has just been started still reads its libraries; what it inherits stays.
  const Deadline deadline = Soon();
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

TEST(SpawnOptionsTest, TheUmaskAndTheSessionAreWhatIsAsked) {
  // Fields 1 and 6: the PID and that of the session.
  SpawnOptions options = Shell("umask; set -- $(cat /proc/$$/stat); [ $1 = $6 ] && echo leads");
  options.umask = 077;

  EXPECT_EQ(OutputOf(options), "0077\n");
  options.new_session = true;
  EXPECT_EQ(OutputOf(options), "0077\nleads\n");
}

TEST(SpawnOptionsTest, SignalsAreAsTheKernelStartsAProcessAndOursStayAsTheyWere) {
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  struct sigaction old {};
  ASSERT_EQ(::sigaction(SIGPIPE, &ignore, &old), 0);
  sigset_t blocked;
  sigset_t old_mask;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGTERM);
  ::pthread_sigmask(SIG_SETMASK, &blocked, &old_mask);

  const std::string output =
      OutputOf(Program({"/bin/grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"}));

  sigset_t after;
  ::sigaction(SIGPIPE, &old, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &old_mask, &after);
  EXPECT_EQ(output, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    EXPECT_EQ(::sigismember(&blocked, signal), ::sigismember(&after, signal)) << signal;
  }
}

// A process of its own that spawns, tells the PID of its child and ends.
pid_t SpawnFromAParentThatEnds(int death_signal) {
  Pipe pipe = MakePipe().value();
  const pid_t parent = ::fork();
  if (parent == 0) {
    SpawnOptions options = Sleep();
    options.death_signal = death_signal;
    const Result<Subprocess> child = Subprocess::Spawn(options);
    const pid_t pid = child.ok() ? child->pid() : -1;
    ::_exit(::write(pipe.write_end.get(), &pid, sizeof pid) == sizeof pid ? 0 : 1);
  }
  pipe.write_end.Reset();
  pid_t pid = -1;
  if (::read(pipe.read_end.get(), &pid, sizeof pid) != sizeof pid) pid = -1;
  ::waitpid(parent, nullptr, 0);
  return pid;
}

TEST(SpawnOptionsTest, TheDeathSignalAloneEndsTheChildWithItsParent) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  const pid_t tied = SpawnFromAParentThatEnds(SIGTERM);
  const pid_t free = SpawnFromAParentThatEnds(0);
  ASSERT_GT(tied, 0);
  ASSERT_GT(free, 0);

  int status = 0;
  EXPECT_EQ(::waitpid(tied, &status, 0), tied);
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
  EXPECT_EQ(::waitpid(free, nullptr, WNOHANG), 0);

  ::kill(free, SIGKILL);
  EXPECT_EQ(::waitpid(free, nullptr, 0), free);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

TEST(SpawnOptionsTest, ACgroupThatCannotBeEnteredIsAnError) {
  test::TempDirectory temp;  // has no cgroup.procs
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd dir, OpenDirectory(temp.path()));
  SpawnOptions options = Shell("exit 0");
  options.cgroup_dir_fds = {dir.get()};

  EXPECT_THAT(Subprocess::Spawn(options), StatusIs(Code::kNotFound, HasSubstr("cgroup")));
}

TEST(RunCommandTest, ReturnsBothStreamsAndTheExitCodeAndGivesNothingToRead) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const CommandOutput output,
                               RunCommand(Shell("cat; echo out; echo err >&2; exit 3"), Soon()));

  EXPECT_EQ(output.text, "out\nerr\n");
  EXPECT_EQ(output.status.exit_code, 3);
}

TEST(RunCommandTest, KeepsAMebibyteAndTakesTheRestWithoutBlocking) {
  const std::string fits = "head -c 1000000 /dev/zero | tr '\\0' x; echo end; ";
  const SpawnOptions options = Shell(fits + "head -c 4000000 /dev/zero; echo end >&2");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const CommandOutput output, RunCommand(options, Soon()));

  EXPECT_EQ(output.text.size(), size_t{1} << 20);
  EXPECT_EQ(output.text.substr(0, 1'000'004), std::string(1'000'000, 'x') + "end\n");
  EXPECT_TRUE(output.status.success());
}

TEST(RunCommandTest, KillsAProgramThatOutlivesTheDeadline) {
  EXPECT_THAT(RunCommand(Sleep(), Deadline::After(milliseconds(200))),
              StatusIs(Code::kDeadlineExceeded, HasSubstr("/bin/sleep")));
}

TEST(RunCommandTest, DoesNotWaitForWhatTheProgramLeftBehind) {
  test::TempDirectory temp;
  const std::string pid_file = temp.path() / "pid";

  // The one in the background holds the pipe open.
  const Result<CommandOutput> output =
      RunCommand(Shell("sleep 60 & echo $! > " + pid_file + "; echo done"), Soon());

  ::kill(std::stoi(test::ReadText(pid_file)), SIGKILL);
  ASSERT_THAT(output, IsOk());
  EXPECT_EQ(output->text, "done\n");
}

TEST(RunCommandTest, AStreamThatIsNamedGoesWhereItWasSent) {
  test::TempDirectory temp;
  const UniqueFd file(::open((temp.path() / "out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  SpawnOptions options = Shell("echo out; echo err >&2");
  options.descriptors = {{1, file.get()}};

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const CommandOutput output, RunCommand(options, Soon()));

  EXPECT_EQ(output.text, "err\n");
  EXPECT_EQ(test::ReadText(temp.path() / "out"), "out\n");
}

}  // namespace
}  // namespace cryopod
