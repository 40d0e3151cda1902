#include "restore/restore_container.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/os/cgroup.h"
#include "agent/os/file.h"
#include "agent/os/mount.h"
#include "agent/os/namespaces.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/restore/restore_fixture.h"

namespace cryopod::restore {
namespace {

using test::Soon;
using ::testing::AllOf;
using ::testing::HasSubstr;

// A process with a UTS namespace of its own.
class UtsNamespace {
 public:
  explicit UtsNamespace(const std::string& hostname) {
    int ready[2] = {-1, -1};
    EXPECT_EQ(::pipe(ready), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      const bool made =
          ::unshare(CLONE_NEWUTS) == 0 && ::sethostname(hostname.data(), hostname.size()) == 0;
      static_cast<void>(!::write(ready[1], made ? "y" : "n", 1));
      ::pause();
      ::_exit(0);
    }
    char made = 'n';
    EXPECT_EQ(::read(ready[0], &made, 1), 1);
    EXPECT_EQ(made, 'y');
    ::close(ready[0]);
    ::close(ready[1]);
    fd_ = OpenAt(AT_FDCWD, path(), O_RDONLY).value();
  }
  ~UtsNamespace() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  std::string path() const { return "/proc/" + std::to_string(pid_) + "/ns/uts"; }
  int fd() const { return fd_.get(); }

 private:
  pid_t pid_ = 0;
  UniqueFd fd_;
};

class RestoreContainerTest : public ::testing::Test {
 protected:
  std::string job_dir() const { return temp_.path().string(); }
  test::TempDirectory temp_;
};

TEST_F(RestoreContainerTest, AnAttemptHasItsOptionsAndADirectoryWithNothingOfAnEarlierOne) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const wrapper::Plan first,
                               PrepareAttempt(job_dir(), "/images", "app", 1));
  EXPECT_EQ(first.images_dir, "/images");
  EXPECT_THAT(test::ReadText(first.criu_config_file),
              AllOf(HasSubstr("leave-stopped\n"), HasSubstr("tcp-close\n")));
  test::WriteText(first.work_dir + "/restore.log", "old");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const wrapper::Plan second,
                               PrepareAttempt(job_dir(), "/images", "app", 2));
  ASSERT_THAT(PrepareAttempt(job_dir(), "/images", "app", 1), test::IsOk());

  EXPECT_NE(first.work_dir, second.work_dir);
  EXPECT_FALSE(std::filesystem::exists(first.work_dir + "/restore.log"));
}

TEST_F(RestoreContainerTest, TheHostnameOfThePodIsRememberedAndPutBack) {
  UtsNamespace uts("new-pod");
  wrapper::Request request;
  request.namespace_paths = {{"uts", uts.path()}};
  jobs::ContainerReport container;
  ASSERT_THAT(RememberHostname(request, container, Soon()), test::IsOk());
  ASSERT_THAT(WriteHostname(uts.fd(), "old-pod", Soon()), test::IsOk());

  ASSERT_THAT(PutHostnameBack(container, Soon()), test::IsOk());

  EXPECT_THAT(ReadHostname(uts.fd(), Soon()), test::IsOkAnd(std::string("new-pod")));
}

TEST_F(RestoreContainerTest, APodOnTheNodesOwnNamespaceKeepsItsHandsOffTheHostname) {
  jobs::ContainerReport container;
  container.hostname = "must not be used";

  ASSERT_THAT(RememberHostname(wrapper::Request(), container, Soon()), test::IsOk());

  EXPECT_EQ(container.hostname, "");
  EXPECT_THAT(PutHostnameBack(container, Soon()), test::IsOk());
}

TEST_F(RestoreContainerTest, AMissingSandboxStopsTheRestoreBeforeItBeginsAndNotItsEnd) {
  wrapper::Request request;
  request.namespace_paths = {{"uts", "/proc/4194303/ns/uts"}};
  jobs::ContainerReport container;

  EXPECT_FALSE(RememberHostname(request, container, Soon()).ok());

  container.hostname = "pod";
  EXPECT_THAT(PutHostnameBack(container, Soon()), test::IsOk());
}

TEST_F(RestoreContainerTest, TheReasonIsCriusOwnElseTheRuntimesOrAtLeastSomething) {
  EXPECT_EQ(ReasonOf({false, 0, "the runtime's words"}, job_dir()).message(),
            "the runtime's words");
  EXPECT_FALSE(ReasonOf({false, 0, ""}, job_dir()).message().empty());

  test::WriteText(temp_.path() / "restore.log",
                  "(00.01)      1: Error (criu/files-reg.c:2143): File usr/x has bad size 1\n");

  EXPECT_THAT(ReasonOf({false, 0, "the runtime's words"}, job_dir()).message(),
              HasSubstr("bad size"));
}

TEST_F(RestoreContainerTest, WhatThePluginHoldsHasOptionsOfItsOwnAndItsLocks) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(wrapper::Plan plan, PrepareAttempt(job_dir(), "/images", "app", 1));

  ASSERT_THAT(PrepareHold("/opt/plugin/hold.so", "/sys/fs/cgroup/c1", {{7, 3, true, 128, 1}}, plan),
              test::IsOk());

  EXPECT_EQ(plan.hold.cgroup_dir, "/sys/fs/cgroup/c1");
  EXPECT_THAT(test::ReadText(plan.hold.criu_config_file),
              AllOf(HasSubstr("tcp-close\n"), HasSubstr("libdir /opt/plugin\n"),
                    ::testing::Not(HasSubstr("leave-stopped"))));
  EXPECT_EQ(test::ReadText(plan.hold.record_locks_file), "7 3 write 128 1\n");
}

TEST_F(RestoreContainerTest, WhatThePluginSaysIsTheReason) {
  test::WriteText(temp_.path() / "restore.log",
                  "(00.01)      1: Error (criu/cr-restore.c:1911): Unable to detach 7: No such\n");
  test::WriteText(temp_.path() / wrapper::kLauncherLogFile, "criu plugin: leaving /c1: refused\n");

  EXPECT_THAT(ReasonOf({false, 0, "criu plugin: leaving /c1: refused"}, job_dir()).message(),
              HasSubstr("leaving /c1"));
}

class EndRestoreTest : public RestoreFixture {
 protected:
  static jobs::ContainerReport ReportOf(const wrapper::Request& request) {
    jobs::ContainerReport container;
    container.cgroup_dir = CgroupOf(request);
    container.state_dir = request.state_dir;
    container.rootfs = request.rootfs;
    return container;
  }
};

TEST_F(EndRestoreTest, EveryProcessInTheCgroupIsKilledEvenAStoppedOneAndNoOther) {
  const wrapper::Request request = CreateRequest("app", "c1");
  const auto first = static_cast<pid_t>(RestoreProcess(request).pid);
  const auto second = static_cast<pid_t>(RestoreProcess(request).pid);
  const auto other = static_cast<pid_t>(RestoreProcess(CreateRequest("sidecar", "c2")).pid);

  ASSERT_THAT(EndRestore(ReportOf(request), Soon()), test::IsOk());

  EXPECT_TRUE(IsGone(first));
  EXPECT_TRUE(IsGone(second));
  EXPECT_TRUE(IsStopped(other));
}

TEST_F(EndRestoreTest, WhereNothingIsLeftOrNothingKnownThereIsNothingToEnd) {
  jobs::ContainerReport container;
  EXPECT_THAT(EndRestore(container, Soon()), test::IsOk());

  container.cgroup_dir = cgroup_->path() + "/gone";
  EXPECT_THAT(EndRestore(container, Soon()), test::IsOk());
}

TEST_F(EndRestoreTest, MountsOfAKilledRuntimeAreDetached) {
  const wrapper::Request request = CreateRequest("app", "c1");
  const std::string criu_root = request.state_dir + "/criu-root";
  std::filesystem::create_directories(criu_root);
  ASSERT_EQ(::mount(request.rootfs.c_str(), criu_root.c_str(), nullptr, MS_BIND, nullptr), 0);

  ASSERT_THAT(EndRestore(ReportOf(request), Soon()), test::IsOk());

  EXPECT_FALSE(IsMountPoint(criu_root));
  EXPECT_TRUE(IsMountPoint(request.rootfs));
}

class VerifyContainerTest : public RestoreFixture {
 protected:
  jobs::ContainerReport Restored(const wrapper::Request& request) {
    jobs::ContainerReport container;
    container.name = request.container_name;
    container.cgroup_dir = CgroupOf(request);
    container.pid = static_cast<pid_t>(RestoreProcess(request).pid);
    return container;
  }
};

TEST_F(VerifyContainerTest, AStoppedProcessInItsCgroupIsTheRestoredOne) {
  jobs::ContainerReport container = Restored(CreateRequest("app", "c1"));

  ASSERT_THAT(VerifyRestored(container, 1), test::IsOk());
  EXPECT_THAT(VerifyRestored(container, 0), test::IsOk()) << "the tasks are not recorded";

  EXPECT_GT(container.start_time_ticks, 0u);
  EXPECT_THAT(VerifyAlive(container), test::IsOk());
}

TEST_F(VerifyContainerTest, AProcessInItsFrozenCgroupIsTheRestoredOneAndStandsThereUnstopped) {
  const wrapper::Request request = CreateRequest("app", "c1");
  jobs::ContainerReport container = Restored(request);
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Cgroup cgroup, Cgroup::Open(CgroupOf(request)));
  ASSERT_THAT(processes_.front().Kill(SIGCONT), test::IsOk());
  while (IsStopped(container.pid)) {
  }
  ASSERT_THAT(cgroup.Freeze(), test::IsOk());

  const Status verified = VerifyRestored(container, 1);
  const Result<FreezeState> state = cgroup.State();

  // Else nobody could end it.
  ASSERT_THAT(cgroup.Thaw(), test::IsOk());
  EXPECT_THAT(verified, test::IsOk());
  EXPECT_TRUE(container.frozen);
  EXPECT_THAT(state, test::IsOkAnd(FreezeState::kFrozen));
}

TEST_F(VerifyContainerTest, AMissingTaskAnotherCgroupAndProcessesThatRunAreNoticed) {
  const wrapper::Request other = CreateRequest("sidecar", "c2");
  jobs::ContainerReport container = Restored(CreateRequest("app", "c1"));
  EXPECT_THAT(VerifyRestored(container, 2),
              test::StatusIs(Code::kFailedPrecondition,
                             HasSubstr("there are 1 tasks, the checkpoint has 2")));

  jobs::ContainerReport elsewhere = container;
  elsewhere.cgroup_dir = CgroupOf(other);
  EXPECT_THAT(VerifyRestored(elsewhere, 1),
              test::StatusIs(Code::kFailedPrecondition, HasSubstr("in the cgroup")));

  ASSERT_THAT(processes_.front().Kill(SIGCONT), test::IsOk());
  while (IsStopped(container.pid)) {
  }
  EXPECT_THAT(VerifyRestored(container, 1),
              test::StatusIs(Code::kFailedPrecondition, HasSubstr("they run already")));
}

TEST_F(VerifyContainerTest, ACgroupBeneathTheNamedOneIsTheContainersToo) {
  jobs::ContainerReport container = Restored(CreateRequest("app", "c1"));
  const std::string leaf = container.cgroup_dir;
  container.cgroup_dir = cgroup_->path();

  ASSERT_THAT(VerifyRestored(container, 1), test::IsOk());

  EXPECT_EQ(container.cgroup_dir, leaf);
}

TEST_F(VerifyContainerTest, AnotherProcessWithItsNumberOrOneThatHasEndedIsNotIt) {
  jobs::ContainerReport container = Restored(CreateRequest("app", "c1"));
  ASSERT_THAT(VerifyRestored(container, 1), test::IsOk());
  jobs::ContainerReport other = container;
  other.start_time_ticks -= 1;
  EXPECT_THAT(VerifyAlive(other), test::StatusIs(Code::kFailedPrecondition));

  ASSERT_THAT(processes_.front().Kill(SIGKILL), test::IsOk());
  ASSERT_TRUE(IsGone(container.pid));

  EXPECT_THAT(VerifyAlive(container), test::StatusIs(Code::kFailedPrecondition));
}

}  // namespace
}  // namespace cryopod::restore
