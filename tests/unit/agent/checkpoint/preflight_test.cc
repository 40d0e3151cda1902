#include "agent/checkpoint/preflight.h"

#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include <filesystem>
#include <optional>

#include "agent/checkpoint/upper_copy.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/container_processes.h"
#include "tests/workloads/process_states.h"

namespace cryopod::checkpoint {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::Soon;
using cryopod::test::StatusIs;
using cryopod::test::WriteText;
using test::NamespaceHolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// Of processes by PID and parent, of which 10 is the container's first.
std::vector<pid_t> Strays(const std::vector<std::pair<pid_t, pid_t>>& parents) {
  std::vector<ProcessInfo> processes;
  for (const auto& [pid, parent] : parents) {
    ProcessInfo& process = processes.emplace_back();
    process.pid = pid;
    process.parent_pid = parent;
  }
  std::vector<pid_t> pids;
  for (const ProcessInfo& stray : FindStrayProcesses(processes, 10)) pids.push_back(stray.pid);
  return pids;
}

TEST(FindStrayProcessesTest, AreThoseThatDoNotDescendFromTheFirstProcess) {
  EXPECT_THAT(Strays({}), IsEmpty());
  EXPECT_THAT(Strays({{10, 1}, {11, 10}, {12, 11}}), IsEmpty());
  EXPECT_THAT(Strays({{12, 11}, {11, 10}, {10, 1}}), IsEmpty()) << "in no order";
  EXPECT_THAT(Strays({{10, 1}, {20, 1}, {21, 20}}), ElementsAre(20, 21)) << "with their children";
  EXPECT_THAT(Strays({{11, 10}, {20, 1}}), ElementsAre(20)) << "the first one is not listed";
  EXPECT_THAT(Strays({{10, 1}, {20, 21}, {21, 20}}), ElementsAre(20, 21)) << "a loop ends";
}

TEST(ReasonAgainstDescriptorTest, NamesWhatCriuCannotDump) {
  for (const auto& [link, word, part] :
       {std::tuple{"anon_inode:[io_uring]", Reason::kIoUring, "io_uring"},
        std::tuple{"anon_inode:[userfaultfd]", Reason::kUserfaultfd, "userfaultfd"},
        std::tuple{"anon_inode:seccomp notify", Reason::kUnsupportedDescriptor, "seccomp"},
        std::tuple{"anon_inode:[landlock-ruleset]", Reason::kUnsupportedDescriptor, "Landlock"},
        std::tuple{"anon_inode:bpf-map", Reason::kUnsupportedDescriptor, "BPF"},
        std::tuple{"anon_inode:[perf_event]", Reason::kUnsupportedDescriptor, "perf"}}) {
    const Objection reason = ReasonAgainstDescriptor(link);

    EXPECT_EQ(reason.word, word) << link;
    EXPECT_THAT(reason.sentence, HasSubstr(part));
  }
}

TEST(ReasonAgainstDescriptorTest, OrdinaryDescriptorsAreFine) {
  for (const char* link :
       {"/dev/null", "pipe:[1]", "socket:[2]", "anon_inode:[eventfd]", "anon_inode:[eventpoll]",
        "anon_inode:[timerfd]", "anon_inode:inotify", "/home/anon_inode:[io_uring]", ""}) {
    EXPECT_EQ(ReasonAgainstDescriptor(link).word, Reason::kNone) << link;
  }
}

bool HasIoUring(pid_t pid) {
  for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    if (fs::read_symlink(entry.path()) == "anon_inode:[io_uring]") return true;
  }
  return false;
}

bool HasChildThat(const NamespaceHolder::Act& act) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  if (::fork() == 0) {
    const bool done = act();
    (void)!::write(ends[1], &done, sizeof done);
    while (true) ::pause();
  }
  bool done = false;
  return ::read(ends[0], &done, sizeof done) == sizeof done && done;
}

// A container with a PID namespace of its own in a leaf of its own.
class PreflightTest : public test::LeafTest {
 protected:
  void SetUp() override {
    LeafTest::SetUp();
    fs::create_directories(Upper());
    job_.store_root = temp_.path();
  }
  static bool OwnMounts() {
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("shm", "/dev/shm", "tmpfs", 0, "size=1m") == 0;
  }
  // `prepare` is run by the container's first process.
  void Start(const NamespaceHolder::Act& prepare = [] { return true; }) {
    holder_.emplace(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC,
                    [&prepare] { return OwnMounts() && prepare(); });
    ASSERT_TRUE(holder_->ready());
    Enter(holder_->init());
    const std::vector<pid_t> children = ListChildren(holder_->init()).value();
    for (const pid_t child : children) Enter(child);
    pod_.targets.push_back(Target("app", holder_->init()));
    pod_.targets[0].upper_dir = Upper();
  }
  std::string Upper() const { return temp_.path() / "upper"; }
  Result<PreflightReport> Run() const { return Preflight(job_, pod_); }

  cryopod::test::TempDirectory temp_;
  jobs::CheckpointJob job_;
  ResolvedPod pod_;
  std::optional<NamespaceHolder> holder_;
};

TEST_F(PreflightTest, APlainPodPassesAndIsMeasured) {
  Start();
  WriteText(Upper() + "/file", std::string(12345, 'x'));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const PreflightReport report, Run());

  EXPECT_GT(report.memory_bytes, 0u);
  EXPECT_EQ(report.writable_bytes, MeasureTree(Upper())->staged_bytes);
  EXPECT_GT(report.writable_bytes, 12345u);
}

TEST_F(PreflightTest, AProcessThatDoesNotDescendFromTheFirstIsNamed) {
  Start();
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess exec,
                               cryopod::test::SpawnIn(leaf_.path(), {"/bin/sleep", "60"}));

  const Result<PreflightReport> report = Run();

  EXPECT_THAT(report,
              StatusIs(Code::kAborted,
                       AllOf(HasSubstr("container app"), HasSubstr(std::to_string(exec.pid())),
                             HasSubstr("(sleep)"), HasSubstr("exec session"))))
      << "a reason that may pass";
  ASSERT_THAT(exec.Kill(SIGKILL), IsOk());
  ASSERT_THAT(exec.Wait(Soon()), IsOk());
  EXPECT_THAT(Run(), IsOk()) << "it has ended";
}

TEST_F(PreflightTest, AStoppedProcessIsTakenAsItStandsWhereItCanBeSeized) {
  Start([] {
    const pid_t stopped = ::fork();
    if (stopped == 0) {
      ::raise(SIGSTOP);
      ::_exit(0);
    }
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(stopped), &info, WSTOPPED | WNOWAIT) == 0;
  });

  const Status status = Run().status();

  if (cryopod::test::FreezerMount(CgroupVersion::kV2)) {
    EXPECT_THAT(status, IsOk());
  } else {
    EXPECT_THAT(status, StatusIs(Code::kFailedPrecondition, HasSubstr("is stopped")));
  }
}

TEST_F(PreflightTest, TracedAndIoUringAreToldAtOnce) {
  Start([] {
    const pid_t traced = ::fork();
    if (traced == 0) {
      ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
      while (true) ::pause();
    }
    char parameters[120] = {};
    ::syscall(SYS_io_uring_setup, 1, parameters);
    return true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));

  const Result<PreflightReport> report = Run();

  EXPECT_THAT(report, StatusIs(Code::kFailedPrecondition,
                               AllOf(HasSubstr("is traced by"), Not(HasSubstr("\n")))));
  if (!HasIoUring(holder_->init())) GTEST_SKIP() << "this kernel refuses io_uring";
  EXPECT_THAT(report.status().message(), AllOf(StartsWith("(1) "), HasSubstr(" (2) ")));
  EXPECT_THAT(report.status().message(), HasSubstr("io_uring"));
}

TEST_F(PreflightTest, WhatCannotBeRestoredIsRefusedWithItsReason) {
  Start([] { return (new workload::ProcessStates)->Hold("timer_to_first_thread"); });

  const Result<PreflightReport> report = Run();

  EXPECT_THAT(report,
              StatusIs(Code::kFailedPrecondition,
                       AllOf(HasSubstr("container app: process "), HasSubstr("delete it"))));
  EXPECT_EQ(report.status().reason(), Reason::kPosixTimer);
}

TEST_F(PreflightTest, WhatAnExecSessionHoldsPassesWithIt) {
  Start();
  const NamespaceHolder exec(
      CLONE_NEWNS, [] { return (new workload::ProcessStates)->Hold("timer_to_first_thread"); });
  ASSERT_TRUE(exec.ready());
  Enter(exec.init());

  EXPECT_THAT(Run(), StatusIs(Code::kAborted, HasSubstr("exec session")));
}

TEST_F(PreflightTest, AUserNamespaceOfThePodIsRefusedWithTheRemedy) {
  Start([] { return ::unshare(CLONE_NEWUSER) == 0; });

  const Result<PreflightReport> report = Run();

  EXPECT_THAT(report, StatusIs(Code::kFailedPrecondition, HasSubstr("hostUsers: true")));
  EXPECT_EQ(report.status().reason(), Reason::kUserNamespace);
}

TEST_F(PreflightTest, ANamespaceThatAProcessMadeIsRefusedWithTheProcess) {
  for (const auto& [flag, type] : {std::pair{CLONE_NEWUSER, "(user)"}, {CLONE_NEWUTS, "(uts)"}}) {
    pod_.targets.clear();
    Start([flag] { return HasChildThat([flag] { return ::unshare(flag) == 0; }); });

    const Result<PreflightReport> report = Run();

    EXPECT_THAT(report, StatusIs(Code::kFailedPrecondition,
                                 AllOf(HasSubstr(type), Not(HasSubstr("hostUsers")))));
    EXPECT_EQ(report.status().reason(), Reason::kNestedNamespace);
  }
}

TEST_F(PreflightTest, WhatTheContainerIsMadeOfIsToldWithWhatRunsInIt) {
  Start([] { return (new workload::ProcessStates)->Hold("timer_to_first_thread"); });
  DumpTarget& target = pod_.targets[0];
  target.options.strangers = {"/cache (tmpfs)", "/work (tmpfs)"};
  target.no_upper_dir = Status(Code::kFailedPrecondition, "it is mounted read-only");

  EXPECT_THAT(Run(),
              StatusIs(Code::kFailedPrecondition,
                       AllOf(HasSubstr("would lose: /cache (tmpfs); /work (tmpfs)"),
                             HasSubstr("app: it is mounted read-only"), HasSubstr("delete it"))));

  target.options.strangers = std::vector<std::string>(100, std::string(300, 'x'));
  EXPECT_THAT(Run().status().message(), HasSubstr("and 92 more"));
}

TEST_F(PreflightTest, TheNodesPidNamespaceIsRefused) {
  Start();
  pod_.targets[0].pid_namespace = NamespaceInode(::getpid(), "pid").value();

  EXPECT_THAT(Run(), StatusIs(Code::kFailedPrecondition, HasSubstr("hostPID")));
}

TEST_F(PreflightTest, ContentThatIsNotCarriedIsRefusedUnlessTheCallerSaysSo) {
  Start([] {
    WriteText("/dev/shm/segment", "x");
    return true;
  });

  EXPECT_THAT(Run(), StatusIs(Code::kFailedPrecondition,
                              AllOf(HasSubstr("segment"), HasSubstr("--without-volumes"))));

  job_.without_volumes = true;
  EXPECT_THAT(Run(), IsOk());
}

TEST_F(PreflightTest, AFullStoreIsRefusedWithItsName) {
  Start();
  const std::string small = temp_.path() / "small";
  fs::create_directory(small);
  ASSERT_EQ(::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=1m"), 0);
  job_.store_root = small;

  EXPECT_THAT(Run(), StatusIs(Code::kResourceExhausted, HasSubstr(small)));

  EXPECT_EQ(::umount(small.c_str()), 0);
}

}  // namespace
}  // namespace cryopod::checkpoint
