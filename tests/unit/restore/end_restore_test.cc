#include "restore/end_restore.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include "agent/os/mount.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/restore/restore_fixture.h"

namespace cryopod::restore {
namespace {

using test::Soon;

class EndRestoreTest : public RestoreFixture {};

TEST_F(EndRestoreTest, EveryProcessInTheCgroupIsKilledEvenAStoppedOne) {
  const wrapper::Request request = CreateRequest("app", "c1");
  const auto first = static_cast<pid_t>(RestoreProcess(request).pid);
  const auto second = static_cast<pid_t>(RestoreProcess(request).pid);
  jobs::ContainerReport container;
  container.cgroup_dir = CgroupOf(request);

  ASSERT_THAT(EndRestore(container, Soon()), test::IsOk());

  EXPECT_TRUE(IsGone(first));
  EXPECT_TRUE(IsGone(second));
}

TEST_F(EndRestoreTest, AProcessOfAnotherContainerLives) {
  const wrapper::Request other = CreateRequest("sidecar", "c2");
  const auto bystander = static_cast<pid_t>(RestoreProcess(other).pid);
  jobs::ContainerReport container;
  container.cgroup_dir = CgroupOf(CreateRequest("app", "c1"));

  ASSERT_THAT(EndRestore(container, Soon()), test::IsOk());

  EXPECT_TRUE(IsStopped(bystander));
}

TEST_F(EndRestoreTest, ACgroupThatTheRuntimeHasRemovedIsNoError) {
  jobs::ContainerReport container;
  container.cgroup_dir = cgroup_->path() + "/gone";

  EXPECT_THAT(EndRestore(container, Soon()), test::IsOk());
}

TEST_F(EndRestoreTest, NothingKnownIsNothingToEnd) {
  EXPECT_THAT(EndRestore(jobs::ContainerReport(), Soon()), test::IsOk());
}

TEST_F(EndRestoreTest, MountsOfAKilledRuntimeAreDetached) {
  const wrapper::Request request = CreateRequest("app", "c1");
  const std::string criu_root = request.state_dir + "/criu-root";
  std::filesystem::create_directories(criu_root);
  ASSERT_EQ(::mount(request.rootfs.c_str(), criu_root.c_str(), nullptr, MS_BIND, nullptr), 0);
  jobs::ContainerReport container;
  container.state_dir = request.state_dir;
  container.rootfs = request.rootfs;

  ASSERT_THAT(EndRestore(container, Soon()), test::IsOk());

  EXPECT_FALSE(IsMountPoint(criu_root));
  EXPECT_TRUE(IsMountPoint(request.rootfs));
}

}  // namespace
}  // namespace cryopod::restore
