#include "restore/runtime/protocol/container_marks.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <string>
#include <thread>

#include "agent/os/cgroup.h"
#include "agent/os/proc.h"
#include "agent/os/subprocess.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/support/test_cgroup.h"
#include "tests/unit/restore/runtime/protocol/sample_record.h"

namespace cryopod::wrapper {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A real child that has been stopped; it is killed at the end of the scope.
class StoppedChild {
 public:
  StoppedChild() : child_(Spawn()) {
    EXPECT_THAT(child_, test::IsOk());
    EXPECT_EQ(::kill(pid(), SIGSTOP), 0);
    EXPECT_TRUE(ReachesState('T'));
  }
  ~StoppedChild() {
    EXPECT_THAT(child_->Kill(SIGKILL), test::IsOk());
    EXPECT_THAT(child_->Wait(Deadline::After(seconds(5))), test::IsOk());
  }

  pid_t pid() const { return child_->pid(); }
  bool ReachesState(char state) const {
    for (int i = 0; i < 200; ++i) {
      const Result<ProcessInfo> info = ReadProcessInfo(pid());
      if (info.ok() && info->state == state) return true;
      std::this_thread::sleep_for(milliseconds(5));
    }
    return false;
  }

 private:
  static Result<Subprocess> Spawn() {
    SpawnOptions options;
    options.argv = {"/bin/sleep", "60"};
    return Subprocess::Spawn(options);
  }
  Result<Subprocess> child_;
};

class ContainerMarksTest : public ::testing::Test {
 protected:
  ContainerMarksTest() {
    std::filesystem::create_directory(temp_.path() / "state");
    std::filesystem::create_directory(temp_.path() / "cgroup");
  }

  std::string state_dir() const { return (temp_.path() / "state").string(); }
  std::string cgroup_dir() const { return (temp_.path() / "cgroup").string(); }
  void Hold(const std::string& processes) {
    test::WriteText(temp_.path() / "cgroup/cgroup.procs", processes);
    ASSERT_THAT(WriteHeldMark(state_dir(), MarkOf("app")), test::IsOk());
  }
  HeldMark MarkOf(const std::string& container) const {
    HeldMark mark{cgroup_dir(), "u-1", test::SampleRecord("web-1", {container})};
    mark.record.waiting = {"app", "sidecar"};
    mark.record.waiting.erase(container);
    return mark;
  }
  std::string records_dir() const { return (temp_.path() / "records").string(); }
  Status Release() const { return ReleaseHeld(records_dir(), {state_dir()}); }
  Result<ConsumedRecord> Record() const {
    Request request;
    request.pod_uid = "u-1";
    request.restore_from = "web-1";
    return ReadConsumed(records_dir(), request);
  }
  bool IsHeld() const { return std::filesystem::exists(temp_.path() / "state/cryopod.held"); }

  test::TempDirectory temp_;
};

TEST_F(ContainerMarksTest, TheRestoredMarkTellsWhatAStartRequestSays) {
  Request request;
  request.container_id = "c1";
  request.sandbox_id = "s1";
  request.pod_name = "web";
  request.pod_namespace = "default";
  request.pod_uid = "u-1";
  request.container_name = "app";
  request.restore_from = "web-1";
  request.restore_operation = "op-1";
  ASSERT_THAT(WriteRestoredMark(state_dir(), request), test::IsOk());

  const Result<Request> read = ReadRestoredMark(state_dir());

  request.state_dir = state_dir();
  EXPECT_THAT(read, test::IsOkAnd(request));
}

TEST_F(ContainerMarksTest, AContainerWithoutMarksHasNone) {
  EXPECT_THAT(ReadRestoredMark(state_dir()), test::StatusIs(Code::kNotFound));
  EXPECT_THAT(Release(), test::IsOk());
  EXPECT_THAT(RemoveRestoredMark(state_dir()), test::IsOk());
  EXPECT_THAT(RemoveHeldMark(state_dir()), test::IsOk());
}

TEST_F(ContainerMarksTest, ReleasingAHeldContainerLetsEveryProcessRunThatIsStillThere) {
  StoppedChild first;
  StoppedChild second;
  // What has ended or lies outside our PID namespace is passed over.
  Hold("0\n4194303\n" + std::to_string(first.pid()) + "\n" + std::to_string(second.pid()) + "\n");
  ASSERT_TRUE(IsHeld());

  EXPECT_THAT(Release(), test::IsOk());

  EXPECT_TRUE(first.ReachesState('S'));
  EXPECT_TRUE(second.ReachesState('S'));
  EXPECT_FALSE(IsHeld());
  ASSERT_THAT(Record(), test::IsOk());
  EXPECT_EQ(Record()->restored.count("app"), 1u);
  EXPECT_EQ(Record()->waiting.count("sidecar"), 1u) << "it alone was let run";
}

TEST_F(ContainerMarksTest, NothingRunsThatCannotBeRecorded) {
  StoppedChild child;
  Hold(std::to_string(child.pid()) + "\n");
  test::WriteText(records_dir(), "a file where the directory should be");

  EXPECT_FALSE(Release().ok());

  EXPECT_TRUE(child.ReachesState('T'));
  EXPECT_TRUE(IsHeld());
}

TEST_F(ContainerMarksTest, SeveralAreRecordedTogether) {
  Hold("0\n");
  const std::string other = (temp_.path() / "other").string();
  std::filesystem::create_directory(other);
  ASSERT_THAT(WriteHeldMark(other, MarkOf("sidecar")), test::IsOk());

  EXPECT_THAT(ReleaseHeld(records_dir(), {state_dir(), other}), test::IsOk());

  ASSERT_THAT(Record(), test::IsOk());
  EXPECT_EQ(Record()->restored.size(), 2u);
  EXPECT_TRUE(Record()->waiting.empty());
}

TEST_F(ContainerMarksTest, AMarkOfAnOlderVersionHasItsRecordAlready) {
  StoppedChild child;
  test::WriteText(temp_.path() / "cgroup/cgroup.procs", std::to_string(child.pid()) + "\n");
  test::WriteText(temp_.path() / "state/cryopod.held", "cgroup=" + cgroup_dir() + "\n");

  EXPECT_THAT(Release(), test::IsOk());

  EXPECT_TRUE(child.ReachesState('S'));
  EXPECT_THAT(Record(), test::StatusIs(Code::kNotFound));
}

TEST_F(ContainerMarksTest, WhatIsHeldInAFrozenCgroupIsThawedAndGetsNoSignal) {
  for (const CgroupVersion version : {CgroupVersion::kV1, CgroupVersion::kV2}) {
    const test::TestCgroup leaf(version);
    if (!leaf.valid()) continue;
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const Cgroup cgroup, Cgroup::Open(leaf.path()));
    CRYOPOD_ASSERT_OK_AND_ASSIGN(
        Subprocess child,
        test::SpawnIn(leaf.path(), {"/bin/sh", "-c", "trap 'exit 3' CONT; read line; exit 4"}));
    ASSERT_THAT(cgroup.Freeze(), test::IsOk());
    HeldMark mark = MarkOf("app");
    mark.cgroup_dir = leaf.path();
    mark.frozen = true;
    ASSERT_THAT(WriteHeldMark(state_dir(), mark), test::IsOk());

    EXPECT_THAT(Release(), test::IsOk());

    EXPECT_FALSE(IsHeld());
    EXPECT_THAT(cgroup.State(), test::IsOkAnd(FreezeState::kThawed));
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const ExitStatus exit, child.Wait(Deadline::After(seconds(5))));
    EXPECT_EQ(exit.exit_code, 4) << "it read to the end of its input, and no handler ran";
  }
}

TEST_F(ContainerMarksTest, AMarkThatIsTakenBackLetsNothingRun) {
  StoppedChild child;
  Hold(std::to_string(child.pid()) + "\n");

  EXPECT_THAT(RemoveHeldMark(state_dir()), test::IsOk());

  EXPECT_FALSE(IsHeld());
  EXPECT_THAT(Release(), test::IsOk());
  EXPECT_TRUE(child.ReachesState('T'));
}

TEST_F(ContainerMarksTest, AMarkThatNamesNoCgroupIsDamaged) {
  for (const char* text : {"cgroup=relative\n", "rubbish\n"}) {
    test::WriteText(temp_.path() / "state/cryopod.held", text);

    EXPECT_THAT(Release(), test::StatusIs(Code::kDataLoss)) << text;
  }
}

TEST_F(ContainerMarksTest, AHeldContainerWhoseCgroupIsGoneStaysMarked) {
  HeldMark mark = MarkOf("app");
  mark.cgroup_dir += "/gone";
  ASSERT_THAT(WriteHeldMark(state_dir(), mark), test::IsOk());

  EXPECT_THAT(Release(), test::IsOk());

  EXPECT_TRUE(IsHeld());
  EXPECT_THAT(Record(), test::StatusIs(Code::kNotFound)) << "it has not run";
}

}  // namespace
}  // namespace cryopod::wrapper
