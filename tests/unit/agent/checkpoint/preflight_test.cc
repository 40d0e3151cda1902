#include "agent/checkpoint/preflight.h"

#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <thread>

#include "agent/checkpoint/tree_size.h"
#include "agent/os/proc.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/checkpoint/counter_in_cgroup.h"
#include "tests/unit/agent/checkpoint/dump_target_fixture.h"
#include "tests/unit/agent/checkpoint/namespace_holder.h"
#include "tests/workloads/process_states.h"

namespace cryopod::checkpoint {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using test::NamespaceHolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

ProcessInfo Process(pid_t pid, pid_t parent, const std::string& command = "x") {
  ProcessInfo info;
  info.pid = pid;
  info.parent_pid = parent;
  info.command = command;
  return info;
}

std::vector<pid_t> Strays(const std::vector<ProcessInfo>& processes, pid_t init) {
  std::vector<pid_t> pids;
  for (const ProcessInfo& stray : FindStrayProcesses(processes, init)) pids.push_back(stray.pid);
  return pids;
}

TEST(FindStrayProcessesTest, DescendantsOfTheFirstProcessAreNoStrays) {
  EXPECT_THAT(Strays({Process(10, 1), Process(11, 10), Process(12, 11)}, 10), testing::IsEmpty());
  // In no order.
  EXPECT_THAT(Strays({Process(12, 11), Process(11, 10), Process(10, 1)}, 10), testing::IsEmpty());
  EXPECT_THAT(Strays({}, 10), testing::IsEmpty());
}

TEST(FindStrayProcessesTest, AnExecSessionAndItsChildrenAreStrays) {
  EXPECT_THAT(Strays({Process(10, 1), Process(20, 1), Process(21, 20)}, 10),
              testing::ElementsAre(20, 21));
  EXPECT_EQ(FindStrayProcesses({Process(10, 1), Process(20, 1, "sh")}, 10)[0].command, "sh");
}

TEST(FindStrayProcessesTest, WithoutTheFirstProcessInTheListItsChildrenAreStillKnown) {
  EXPECT_THAT(Strays({Process(11, 10), Process(20, 1)}, 10), testing::ElementsAre(20));
}

TEST(FindStrayProcessesTest, ALoopOfParentsEnds) {
  EXPECT_THAT(Strays({Process(10, 1), Process(20, 21), Process(21, 20)}, 10),
              testing::ElementsAre(20, 21));
}

TEST(ReasonAgainstDescriptorTest, NamesWhatCriuCannotDump) {
  for (const auto& [link, word, part] :
       {std::tuple{"anon_inode:[io_uring]", Reason::kIoUring, "io_uring"},
        std::tuple{"anon_inode:[userfaultfd]", Reason::kUserfaultfd, "userfaultfd"},
        std::tuple{"anon_inode:seccomp notify", Reason::kUnsupportedDescriptor, "seccomp"},
        std::tuple{"anon_inode:[landlock-ruleset]", Reason::kUnsupportedDescriptor, "Landlock"},
        std::tuple{"anon_inode:bpf-map", Reason::kUnsupportedDescriptor, "BPF"},
        std::tuple{"anon_inode:[perf_event]", Reason::kUnsupportedDescriptor, "perf"}}) {
    const DescriptorReason reason = ReasonAgainstDescriptor(link);

    EXPECT_EQ(reason.word, word) << link;
    EXPECT_THAT(std::string(reason.text), HasSubstr(part));
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

// A container with a PID namespace of its own in a leaf of its own.
class PreflightTest : public ::testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    if (!leaf_.valid()) GTEST_SKIP() << "no freezer hierarchy of this version can be written to";
    fs::create_directories(temp_.path() / "upper");
    job_.store_root = temp_.path();
  }
  static bool OwnMounts() {
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("shm", "/dev/shm", "tmpfs", 0, "size=1m") == 0;
  }
  // `prepare` is run by the container's first process.
  void Start(const std::function<bool()>& prepare = OwnMounts) {
    holder_ = std::make_unique<NamespaceHolder>(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC, prepare);
    ASSERT_TRUE(holder_->ready());
    for (const pid_t pid : Family(holder_->init())) Enter(pid);
    pod_.targets.push_back(
        test::MakeTarget("app", holder_->init(), Cgroup::Open(leaf_.path()).value()));
    pod_.targets[0].upper_dir = temp_.path() / "upper";
  }
  void Enter(pid_t pid) const { std::ofstream(leaf_.path() + "/cgroup.procs") << pid; }
  static std::vector<pid_t> Family(pid_t init) {
    std::vector<pid_t> pids = {init};
    std::ifstream children("/proc/" + std::to_string(init) + "/task/" + std::to_string(init) +
                           "/children");
    for (pid_t pid; children >> pid;) pids.push_back(pid);
    return pids;
  }
  Result<PreflightReport> Run() const { return Preflight(job_, pod_); }

  cryopod::test::TestCgroup leaf_{GetParam()};
  cryopod::test::TempDirectory temp_;
  jobs::CheckpointJob job_;
  ResolvedPod pod_;
  std::unique_ptr<NamespaceHolder> holder_;
};

TEST_P(PreflightTest, APlainPodPassesAndIsMeasured) {
  Start();
  std::ofstream(temp_.path() / "upper" / "file") << std::string(12345, 'x');

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const PreflightReport report, Run());

  EXPECT_GT(report.memory_bytes, 0u);
  EXPECT_EQ(report.writable_bytes, MeasureTree(temp_.path() / "upper")->staged_bytes);
  EXPECT_GT(report.writable_bytes, 12345u);
  EXPECT_THAT(report.lacks, testing::IsEmpty());
}

TEST_P(PreflightTest, AProcessThatDoesNotDescendFromTheFirstIsNamed) {
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
  ASSERT_THAT(exec.Wait(Deadline::After(std::chrono::seconds(5))), IsOk());
  EXPECT_THAT(Run(), IsOk()) << "it has ended";
}

TEST_P(PreflightTest, StoppedTracedAndIoUringAreToldAtOnce) {
  Start([] {
    if (!OwnMounts()) return false;
    const pid_t stopped = ::fork();
    if (stopped == 0) {
      ::raise(SIGSTOP);
      ::_exit(0);
    }
    const pid_t traced = ::fork();
    if (traced == 0) {
      ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
      while (true) ::pause();
    }
    char parameters[120] = {};
    ::syscall(SYS_io_uring_setup, 1, parameters);
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(stopped), &info, WSTOPPED | WNOWAIT) == 0;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));

  const Result<PreflightReport> report = Run();

  EXPECT_THAT(report,
              StatusIs(Code::kFailedPrecondition,
                       AllOf(HasSubstr("is stopped"), HasSubstr("is traced by"), StartsWith("(1) "),
                             HasSubstr(" (2) "), Not(HasSubstr("\n")))));
  if (!HasIoUring(holder_->init())) GTEST_SKIP() << "this kernel refuses io_uring";
  EXPECT_THAT(report.status().message(), HasSubstr("io_uring"));
}

TEST_P(PreflightTest, WhatCannotBeRestoredIsRefusedWithItsReason) {
  Start([] { return OwnMounts() && (new workload::ProcessStates)->Hold("timer_to_first_thread"); });

  const Result<PreflightReport> report = Run();

  EXPECT_THAT(report,
              StatusIs(Code::kFailedPrecondition,
                       AllOf(HasSubstr("container app: process "), HasSubstr("delete it"))));
  EXPECT_EQ(report.status().reason(), Reason::kPosixTimer);
}

TEST_P(PreflightTest, WhatAnExecSessionHoldsPassesWithIt) {
  Start();
  const NamespaceHolder exec(
      CLONE_NEWNS, [] { return (new workload::ProcessStates)->Hold("timer_to_first_thread"); });
  ASSERT_TRUE(exec.ready());
  Enter(exec.init());

  EXPECT_THAT(Run(), StatusIs(Code::kAborted, HasSubstr("exec session")));
}

TEST_P(PreflightTest, AUserNamespaceIsRefused) {
  Start([] { return OwnMounts() && ::unshare(CLONE_NEWUSER) == 0; });

  EXPECT_THAT(Run(), StatusIs(Code::kFailedPrecondition, HasSubstr("user namespace")));
}

TEST_P(PreflightTest, TheNodesPidNamespaceIsRefused) {
  Start();
  pod_.targets[0].pid_namespace = NamespaceInode(::getpid(), "pid").value();

  EXPECT_THAT(Run(), StatusIs(Code::kFailedPrecondition, HasSubstr("hostPID")));
}

TEST_P(PreflightTest, ContentThatIsNotCarriedIsRefusedUnlessTheCallerSaysSo) {
  Start([] {
    if (!OwnMounts()) return false;
    std::ofstream("/dev/shm/segment") << "x";
    return true;
  });

  EXPECT_THAT(Run(), StatusIs(Code::kFailedPrecondition,
                              AllOf(HasSubstr("segment"), HasSubstr("--without-volumes"))));

  job_.without_volumes = true;
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const PreflightReport report, Run());
  EXPECT_THAT(report.lacks, testing::ElementsAre(HasSubstr("segment")));
}

TEST_P(PreflightTest, AFullStoreIsRefusedWithItsName) {
  Start();
  const std::string small = temp_.path() / "small";
  fs::create_directory(small);
  ASSERT_EQ(::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=1m"), 0);
  job_.store_root = small;

  EXPECT_THAT(Run(), StatusIs(Code::kResourceExhausted, HasSubstr(small)));

  EXPECT_EQ(::umount(small.c_str()), 0);
}

INSTANTIATE_TEST_SUITE_P(Freezers, PreflightTest,
                         ::testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                         test::VersionName);

}  // namespace
}  // namespace cryopod::checkpoint
