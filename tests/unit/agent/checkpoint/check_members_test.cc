#include "agent/checkpoint/check_members.h"

#include <thread>
#include <utility>

#include "agent/os/namespaces.h"
#include "agent/os/proc.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/agent/checkpoint/counter_in_cgroup.h"
#include "tests/unit/agent/checkpoint/dump_target_fixture.h"
#include "tests/unit/agent/checkpoint/namespace_holder.h"

namespace cryopod::checkpoint {
namespace {

using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::Soon;
using cryopod::test::StatusIs;
using test::CounterInCgroup;
using test::MakeTarget;
using test::NamespaceHolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(DescribeDifferenceTest, EqualSetsDoNotDiffer) {
  EXPECT_EQ(DescribeDifference({1, 7}, {1, 7}), "");
  EXPECT_EQ(DescribeDifference({}, {}), "");
}

TEST(DescribeDifferenceTest, ATaskThatCameInIsNamed) {
  EXPECT_THAT(DescribeDifference({1, 7, 9}, {1, 7}),
              AllOf(HasSubstr("task 9"), HasSubstr("came in")));
}

TEST(DescribeDifferenceTest, ATaskThatLeftIsNamed) {
  EXPECT_THAT(DescribeDifference({1}, {1, 7}), AllOf(HasSubstr("task 7"), HasSubstr("has left")));
}

TEST(DescribeDifferenceTest, OneThatCameInIsToldBeforeOneThatLeft) {
  EXPECT_THAT(DescribeDifference({1, 9}, {1, 7}), HasSubstr("task 9"));
}

// A counter in the test's own PID namespace: PIDs are then what we see.
class CheckMembersTest : public ::testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override { CRYOPOD_SKIP_WITHOUT(counter_); }
  DumpTarget Target() const { return MakeTarget("app", counter_.pid(), counter_.cgroup()); }
  static pid_t InnermostPid(pid_t pid) { return ReadProcessInfo(pid)->namespace_pids.back(); }

  CounterInCgroup counter_{GetParam()};
};

TEST_P(CheckMembersTest, ALeafThatHoldsExactlyTheDumpedTasksPasses) {
  const pid_t pid = InnermostPid(counter_.pid());

  EXPECT_THAT(CheckMembers(Target(), {{pid, 0, {pid}}}), IsOkAnd(1u));
}

TEST_P(CheckMembersTest, AProcessThatEnteredMeanwhileDiscardsTheCapture) {
  const pid_t pid = InnermostPid(counter_.pid());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Subprocess exec,
                               cryopod::test::SpawnIn(counter_.path(), {"/bin/sleep", "60"}));

  EXPECT_THAT(CheckMembers(Target(), {{pid, 0, {pid}}}),
              StatusIs(Code::kAborted,
                       AllOf(HasSubstr("container app"),
                             HasSubstr("task " + std::to_string(InnermostPid(exec.pid()))),
                             HasSubstr("process " + std::to_string(exec.pid()) + " (sleep)"))));
  ASSERT_THAT(exec.Kill(SIGKILL), IsOk());
  ASSERT_THAT(exec.Wait(Soon()), IsOk());
}

TEST_P(CheckMembersTest, AThreadThatWasNotDumpedDiscardsTheCapture) {
  NamespaceHolder threads(CLONE_NEWPID, [] {
    std::thread([] { ::pause(); }).detach();
    return true;
  });
  ASSERT_TRUE(threads.ready());
  std::ofstream(counter_.path() + "/cgroup.procs") << threads.init();
  counter_.End();
  DumpTarget target = MakeTarget("app", threads.init(), counter_.cgroup());

  EXPECT_THAT(CheckMembers(target, {{1, 0, {1}}}), StatusIs(Code::kAborted, HasSubstr("task 2")));
  EXPECT_THAT(CheckMembers(target, {{1, 0, {1, 2}}}), IsOkAnd(2u)) << "by their inner PIDs";
}

TEST_P(CheckMembersTest, ADumpedTaskThatIsGoneDiscardsTheCapture) {
  const pid_t pid = InnermostPid(counter_.pid());

  EXPECT_THAT(CheckMembers(Target(), {{pid, 0, {pid}}, {999'999, pid, {999'999}}}),
              StatusIs(Code::kAborted, HasSubstr("task 999999")));
}

TEST_P(CheckMembersTest, AZombieCountsOnNeitherSide) {
  const NamespaceHolder holder(CLONE_NEWPID, [] {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0;
  });
  ASSERT_TRUE(holder.ready());
  std::ofstream(counter_.path() + "/cgroup.procs") << holder.init();
  counter_.End();
  const DumpTarget target = MakeTarget("app", holder.init(), counter_.cgroup());

  EXPECT_THAT(CheckMembers(target, {{1, 0, {1}}, {2, 1, {}}}), IsOkAnd(1u));
  EXPECT_THAT(CheckMembers(target, {{1, 0, {1}}}), IsOkAnd(1u));
}

INSTANTIATE_TEST_SUITE_P(Freezers, CheckMembersTest,
                         ::testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                         test::VersionName);

class BirthMarksTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!leaf_.valid()) GTEST_SKIP() << "cgroups and namespaces need root";
  }
  ResolvedPod PodOf(const std::vector<pid_t>& inits) const {
    ResolvedPod pod;
    for (const pid_t init : inits) pod.targets.push_back(leaf_.Target("app", init));
    return pod;
  }

  const test::AnyLeaf leaf_;
};

TEST_F(BirthMarksTest, TwoReadingsWithNothingInBetweenProveThatNothingWasBorn) {
  const NamespaceHolder first(CLONE_NEWPID);
  const NamespaceHolder second(CLONE_NEWPID);
  ASSERT_TRUE(first.ready() && second.ready());
  const ResolvedPod pod = PodOf({first.init(), second.init()});

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const BirthWatch births, BirthWatch::Begin(pod, Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const BirthMarks before, births.Read(Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const BirthMarks after, births.Read(Soon()));

  EXPECT_EQ(before.size(), 2u);
  EXPECT_THAT(CheckNothingWasBorn(before, after), IsOk());
}

TEST_F(BirthMarksTest, AProcessThatCameAndWentInBetweenIsNoticed) {
  const NamespaceHolder holder(CLONE_NEWPID);
  ASSERT_TRUE(holder.ready());
  const ResolvedPod pod = PodOf({holder.init()});
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const BirthWatch births, BirthWatch::Begin(pod, Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const BirthMarks before, births.Read(Soon()));
  const UniqueFd pid_namespace =
      OpenAt(AT_FDCWD, "/proc/" + std::to_string(holder.init()) + "/ns/pid", O_RDONLY).value();

  const auto exec = []() -> Result<std::string> { return std::string("an exec"); };
  ASSERT_THAT(RunInNamespace(pid_namespace.get(), CLONE_NEWPID, exec, Soon()), IsOk());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const BirthMarks after, births.Read(Soon()));
  EXPECT_THAT(CheckNothingWasBorn(before, after), StatusIs(Code::kAborted));
}

TEST_F(BirthMarksTest, ContainersThatShareANamespaceAreProbedOnce) {
  const NamespaceHolder holder(CLONE_NEWPID);
  ASSERT_TRUE(holder.ready());
  const ResolvedPod pod = PodOf({holder.init(), holder.init()});

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const BirthWatch births, BirthWatch::Begin(pod, Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const BirthMarks before, births.Read(Soon()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const BirthMarks after, births.Read(Soon()));

  EXPECT_EQ(before.size(), 1u);
  EXPECT_THAT(CheckNothingWasBorn(before, after), IsOk());
}

TEST_F(BirthMarksTest, ANamespaceThatIsMissingInTheSecondReadingIsNoProof) {
  EXPECT_THAT(CheckNothingWasBorn({{1, 5}}, {}), StatusIs(Code::kAborted));
  EXPECT_THAT(CheckNothingWasBorn({{1, 5}}, {{1, 6}}), StatusIs(Code::kAborted));
  EXPECT_THAT(CheckNothingWasBorn({{1, 32768}}, {{1, 300}}), StatusIs(Code::kAborted));
  EXPECT_THAT(CheckNothingWasBorn({{1, 5}, {2, 9}}, {{1, 5}, {2, 9}}), IsOk());
}

}  // namespace
}  // namespace cryopod::checkpoint
