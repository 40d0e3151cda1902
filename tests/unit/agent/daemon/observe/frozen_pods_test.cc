#include <csignal>

#include "agent/daemon/observe/node_metrics.h"
#include "agent/os/cgroup.h"
#include "tests/support/test_cgroup.h"
#include "tests/unit/agent/daemon/daemon_fixture.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using cryopod::test::SpawnIn;
using cryopod::test::TestCgroup;
using jobs::JobEvent;
using jobs::Journal;
using jobs::ProcessIdentity;
using std::chrono::minutes;
using std::chrono::nanoseconds;

// A container that sleeps in a leaf of its own, and the job of its checkpoint.
class FrozenPodsTest : public test::AgentFixture {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "cgroups need root";
    if (!cgroup_.valid()) GTEST_SKIP() << "no cgroup v2 here";
    Result<Subprocess> container = SpawnIn(cgroup_.path(), {"/bin/sleep", "60"});
    ASSERT_THAT(container, IsOk());
    container_.emplace(std::move(container).value());
    ASSERT_THAT(
        jobs::CreateJobDirectory(config_.jobs_dir(), kId, jobs::ToText(jobs::CheckpointJob())),
        IsOk());
    OperationFacts facts;
    facts.id = kId;
    Result<OperationRegister::Begun> begun = operations_.Begin(std::move(facts));
    ASSERT_THAT(begun, IsOk());
    operation_ = begun->operation;
  }
  static ProcessIdentity Identity(pid_t pid) { return jobs::IdentifyProcess(pid).value(); }
  void WriteJournal(const std::vector<ProcessIdentity>& criu = {}) const {
    Journal journal;
    journal.cgroups = {cgroup_.path()};
    journal.inits = {Identity(container_->pid())};
    journal.criu = criu;
    ASSERT_THAT(jobs::WriteFileOf(JobDir(kId), jobs::kJournalFile, journal), IsOk());
  }
  // Whose process the test stands for.
  void WriteProcess(const ProcessIdentity& identity) const {
    ASSERT_THAT(jobs::WriteFileOf(JobDir(kId), jobs::kProcessFile, identity), IsOk());
  }
  void WriteLivingJob() const {
    WriteProcess(Identity(::getpid()));
    WriteJournal();
  }
  static constexpr ProcessIdentity kDead{1, 1};  // nothing began with the kernel's first tick
  // What the process says.
  void Say(const std::vector<std::string>& stages) {
    for (const std::string& stage : stages) operation_->Report({stage, "", 0, 0});
  }
  Cgroup Freeze() const {
    Result<Cgroup> cgroup = Cgroup::Open(cgroup_.path());
    EXPECT_THAT(cgroup->Freeze(), IsOk());
    EXPECT_THAT(cgroup->WaitFrozen(Soon()), IsOk());
    return std::move(cgroup).value();
  }
  uint64_t Frozen() const { return CountFrozenPods(agent_).pods; }

  static constexpr char kId[] = "c-1";
  TestCgroup cgroup_{CgroupVersion::kV2};
  std::optional<Subprocess> container_;
  std::shared_ptr<Operation> operation_;
};

TEST_F(FrozenPodsTest, NothingIsFrozenBeforeTheJournal) {
  WriteProcess(Identity(::getpid()));
  Say({"preflight"});

  EXPECT_EQ(Frozen(), 0u);
}

TEST_F(FrozenPodsTest, ALivingOperationsWordCountsWhileCriuHoldsTheTasksOfAThawedCgroup) {
  WriteLivingJob();
  for (const char* stage : {"freeze", "dump", "archive", "commit"}) {
    Say({stage});
    EXPECT_EQ(Frozen(), 1u) << "held until the commit: " << stage;
  }

  Say({"thaw", "archive"});
  EXPECT_EQ(Frozen(), 0u);
}

TEST_F(FrozenPodsTest, TheKernelsWordCountsWhenTheThawIsOnlyAnnounced) {
  WriteLivingJob();
  const Cgroup cgroup = Freeze();
  Say({"freeze", "thaw"});

  EXPECT_EQ(Frozen(), 1u);

  ASSERT_THAT(cgroup.Thaw(), IsOk());
  EXPECT_EQ(Frozen(), 0u);
}

TEST_F(FrozenPodsTest, OfADeadOperationTheKernelAndItsCriusTell) {
  WriteProcess(kDead);
  Say({"dump"});
  WriteJournal();
  EXPECT_EQ(Frozen(), 0u) << "its guard has thawed the pod";

  WriteJournal({Identity(::getpid())});
  EXPECT_EQ(Frozen(), 1u) << "its CRIU dumps on";
}

TEST_F(FrozenPodsTest, APodIsFoundWhoseOperationNoRegisterKnows) {
  WriteProcess(kDead);
  WriteJournal();
  operations_.Drop(*operation_);
  const Cgroup cgroup = Freeze();

  EXPECT_EQ(Frozen(), 1u);
}

TEST_F(FrozenPodsTest, SomebodyElsesPausedContainerIsNotOurs) {
  WriteProcess(kDead);
  WriteJournal();
  ASSERT_THAT(container_->Kill(SIGKILL), IsOk());
  ASSERT_TRUE(container_->Wait(Soon()).ok());
  Result<Subprocess> next = SpawnIn(cgroup_.path(), {"/bin/sleep", "60"});
  ASSERT_THAT(next, IsOk());
  const Cgroup cgroup = Freeze();

  EXPECT_EQ(Frozen(), 0u);
  ASSERT_THAT(cgroup.Thaw(), IsOk());
}

TEST_F(FrozenPodsTest, TheLongestFreezeIsAsOldAsItsJournal) {
  WriteLivingJob();
  Say({"freeze"});
  namespace fs = std::filesystem;
  fs::last_write_time(JobDir(kId) + "/" + jobs::kJournalFile,
                      fs::file_time_type::clock::now() - minutes(10));

  EXPECT_GE(CountFrozenPods(agent_).longest, minutes(9));

  Say({"thaw"});
  EXPECT_EQ(CountFrozenPods(agent_).longest, nanoseconds(0));
}

}  // namespace
}  // namespace cryopod::daemon
