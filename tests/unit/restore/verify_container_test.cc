#include "restore/verify_container.h"

#include <gmock/gmock.h>
#include <signal.h>

#include "tests/support/status_matchers.h"
#include "tests/unit/restore/restore_fixture.h"

namespace cryopod::restore {
namespace {

using ::testing::HasSubstr;

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

  EXPECT_GT(container.start_time_ticks, 0u);
  EXPECT_THAT(VerifyAlive(container), test::IsOk());
}

TEST_F(VerifyContainerTest, ANumberOfTasksThatIsNotRecordedIsNotCompared) {
  jobs::ContainerReport container = Restored(CreateRequest("app", "c1"));

  EXPECT_THAT(VerifyRestored(container, 0), test::IsOk());
}

TEST_F(VerifyContainerTest, AMissingTaskIsNoticed) {
  jobs::ContainerReport container = Restored(CreateRequest("app", "c1"));

  EXPECT_THAT(VerifyRestored(container, 2),
              test::StatusIs(Code::kFailedPrecondition,
                             HasSubstr("there are 1 tasks, the checkpoint has 2")));
}

TEST_F(VerifyContainerTest, AProcessThatRunsAlreadyIsNoticed) {
  jobs::ContainerReport container = Restored(CreateRequest("app", "c1"));
  ASSERT_THAT(processes_.front().Kill(SIGCONT), test::IsOk());
  while (IsStopped(container.pid)) {
  }

  EXPECT_THAT(VerifyRestored(container, 1), test::StatusIs(Code::kFailedPrecondition));
}

TEST_F(VerifyContainerTest, AProcessInAnotherCgroupIsNoticed) {
  const wrapper::Request other = CreateRequest("sidecar", "c2");
  jobs::ContainerReport container = Restored(CreateRequest("app", "c1"));
  container.cgroup_dir = CgroupOf(other);

  EXPECT_THAT(VerifyRestored(container, 1),
              test::StatusIs(Code::kFailedPrecondition, HasSubstr("in the cgroup")));
}

TEST_F(VerifyContainerTest, ACgroupBeneathTheNamedOneIsTheContainersToo) {
  jobs::ContainerReport container = Restored(CreateRequest("app", "c1"));
  const std::string leaf = container.cgroup_dir;
  container.cgroup_dir = cgroup_->path();

  ASSERT_THAT(VerifyRestored(container, 1), test::IsOk());

  EXPECT_EQ(container.cgroup_dir, leaf);
}

TEST_F(VerifyContainerTest, AProcessThatHasEndedIsNotAlive) {
  jobs::ContainerReport container = Restored(CreateRequest("app", "c1"));
  ASSERT_THAT(VerifyRestored(container, 1), test::IsOk());
  ASSERT_THAT(processes_.front().Kill(SIGKILL), test::IsOk());
  ASSERT_TRUE(IsGone(container.pid));

  EXPECT_THAT(VerifyAlive(container), test::StatusIs(Code::kFailedPrecondition));
}

TEST_F(VerifyContainerTest, AnotherProcessWithItsNumberIsNotIt) {
  jobs::ContainerReport container = Restored(CreateRequest("app", "c1"));
  ASSERT_THAT(VerifyRestored(container, 1), test::IsOk());
  container.start_time_ticks -= 1;

  EXPECT_THAT(VerifyAlive(container), test::StatusIs(Code::kFailedPrecondition));
}

}  // namespace
}  // namespace cryopod::restore
