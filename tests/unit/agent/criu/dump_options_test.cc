#include "agent/criu/dump_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "agent/os/proc.h"
#include "test_data.h"
#include "tests/support/status_matchers.h"

namespace cryopod::criu {
namespace {

using cryopod::test::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;

// The recorded container with this process as its init, since namespaces are asked of the kernel.
class DumpOptionsTest : public ::testing::Test {
 protected:
  DumpOptionsTest() {
    container_.state.init_pid = ::getpid();
    // Its root file system is not here, so that a link in it cannot be followed.
    container_.state.mounts.back().destination = "/run/secrets/kubernetes.io/serviceaccount";
  }
  void Mount(const std::string& mount_point) {
    MountEntry entry;
    entry.mount_point = mount_point;
    entry.file_system_type = "tmpfs";
    entry.root = "/";
    container_.mounts.push_back(entry);
  }
  Result<DumpOptions> Build() const {
    return BuildDumpOptions(container_.state, container_.mounts, "/sys/fs/cgroup/freezer/k8s.io/c");
  }

  test::RecordedContainer container_ = test::Recorded("v1");
};

TEST_F(DumpOptionsTest, TakesPidRootAndCgroupOver) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const DumpOptions options, Build());

  EXPECT_EQ(options.pid, ::getpid());
  EXPECT_EQ(options.root, container_.state.rootfs);
  EXPECT_EQ(options.freeze_cgroup, "/sys/fs/cgroup/freezer/k8s.io/c");
  EXPECT_THAT(options.external_mounts, Contains(Key("/etc/hosts")));
}

TEST_F(DumpOptionsTest, JoinedNamespacesAreExternalByTheInodeOfTheProcessItsOwnAreNot) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const uint64_t net, NamespaceInode(::getpid(), "net"));
  const std::string named = "net[" + std::to_string(net) + "]:extRootNetNS";
  EXPECT_THAT(Build()->externals, ElementsAre(named));

  container_.state.namespace_paths["NEWPID"] = "/proc/12/ns/pid";
  EXPECT_THAT(Build()->externals,
              ElementsAre(named, AllOf(HasSubstr("pid["), HasSubstr("extRootPidNS"))));

  container_.state.namespace_paths = {{"NEWNET", ""}, {"NEWPID", ""}};
  EXPECT_THAT(Build()->externals, IsEmpty());
}

TEST_F(DumpOptionsTest, AProcessThatIsGoneIsAnErrorAndNotAnOmission) {
  container_.state.init_pid = (1 << 22) - 1;

  EXPECT_THAT(Build(), StatusIs(Code::kNotFound));
}

TEST_F(DumpOptionsTest, EveryUndeclaredMountIsAStranger) {
  EXPECT_THAT(Build()->strangers, IsEmpty());
  Mount("/cache");
  Mount("/work");

  EXPECT_THAT(Build()->strangers,
              ElementsAre(HasSubstr("/cache (tmpfs)"), HasSubstr("/work (tmpfs)")));
}

TEST(DescriptorsJsonTest, HoldsTheDescriptorsAsRuncWritesThemThreeAtLeast) {
  ContainerState state;
  EXPECT_EQ(DescriptorsJson(state), R"(["/dev/null","/dev/null","/dev/null"])");

  state.external_descriptors = {"/dev/null", "pipe:[4711]", "pipe:[4712]"};
  EXPECT_EQ(DescriptorsJson(state), R"(["/dev/null","pipe:[4711]","pipe:[4712]"])");
}

}  // namespace
}  // namespace cryopod::criu
