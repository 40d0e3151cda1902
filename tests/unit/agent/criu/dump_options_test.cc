#include "agent/criu/dump_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "agent/os/mount_info.h"
#include "agent/os/proc.h"
#include "test_data.h"
#include "tests/support/status_matchers.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;

// The recorded container with this process as its init, since namespaces are asked of the kernel.
test::RecordedContainer Container() {
  test::RecordedContainer container = test::Recorded("v1");
  container.state.init_pid = ::getpid();
  // Its root file system is not here, so that a link in it cannot be followed.
  container.state.mounts.back().destination = "/run/secrets/kubernetes.io/serviceaccount";
  return container;
}

MountEntry Tmpfs(const std::string& mount_point) {
  MountEntry entry;
  entry.mount_point = mount_point;
  entry.file_system_type = "tmpfs";
  entry.root = "/";
  return entry;
}

TEST(DumpOptionsTest, TakesPidRootAndCgroupOver) {
  const test::RecordedContainer container = Container();

  const Result<DumpOptions> options =
      BuildDumpOptions(container.state, container.mounts, "/sys/fs/cgroup/freezer/k8s.io/c");

  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->pid, ::getpid());
  EXPECT_EQ(options->root, container.state.rootfs);
  EXPECT_EQ(options->freeze_cgroup, "/sys/fs/cgroup/freezer/k8s.io/c");
  EXPECT_THAT(options->external_mounts, Contains(Key("/etc/hosts")));
}

TEST(DumpOptionsTest, AJoinedNetworkNamespaceIsExternalByTheInodeOfTheProcess) {
  const test::RecordedContainer container = Container();
  const Result<uint64_t> inode = NamespaceInode(::getpid(), "net");
  ASSERT_THAT(inode, IsOk());

  const Result<DumpOptions> options = BuildDumpOptions(container.state, container.mounts, "");

  ASSERT_THAT(options, IsOk());
  EXPECT_THAT(options->externals, ElementsAre("net[" + std::to_string(*inode) + "]:extRootNetNS"));
}

TEST(DumpOptionsTest, APidNamespaceSharedWithThePodIsExternalToo) {
  test::RecordedContainer container = Container();
  container.state.namespace_paths["NEWPID"] = "/proc/12/ns/pid";

  const Result<DumpOptions> options = BuildDumpOptions(container.state, container.mounts, "");

  ASSERT_THAT(options, IsOk());
  EXPECT_THAT(options->externals, ElementsAre(HasSubstr("extRootNetNS"),
                                              AllOf(HasSubstr("pid["), HasSubstr("extRootPidNS"))));
}

TEST(DumpOptionsTest, NamespacesOfItsOwnAreNotExternal) {
  test::RecordedContainer container = Container();
  container.state.namespace_paths["NEWNET"] = "";

  const Result<DumpOptions> options = BuildDumpOptions(container.state, container.mounts, "");

  ASSERT_THAT(options, IsOk());
  EXPECT_THAT(options->externals, IsEmpty());
}

TEST(DumpOptionsTest, AProcessThatIsGoneIsAnErrorAndNotAnOmission) {
  test::RecordedContainer container = Container();
  container.state.init_pid = (1 << 22) - 1;

  EXPECT_THAT(BuildDumpOptions(container.state, container.mounts, ""), StatusIs(Code::kNotFound));
}

TEST(DumpOptionsTest, EveryUndeclaredMountIsNamedInOneRefusal) {
  test::RecordedContainer container = Container();
  container.mounts.push_back(Tmpfs("/cache"));
  container.mounts.push_back(Tmpfs("/work"));

  const Result<DumpOptions> options = BuildDumpOptions(container.state, container.mounts, "");

  EXPECT_THAT(options, StatusIs(Code::kFailedPrecondition,
                                AllOf(HasSubstr("/cache (tmpfs)"), HasSubstr("/work (tmpfs)"))));
}

TEST(DumpOptionsTest, ARefusalOfVeryManyMountsStaysReadable) {
  test::RecordedContainer container = Container();
  for (int i = 0; i < 100; ++i) {
    container.mounts.push_back(Tmpfs("/" + std::string(4000, 'x') + std::to_string(i)));
  }

  const Status refusal = BuildDumpOptions(container.state, container.mounts, "").status();

  EXPECT_THAT(refusal, StatusIs(Code::kFailedPrecondition, HasSubstr("and 92 more")));
  EXPECT_LT(refusal.message().size(), 4096u);
}

TEST(DumpOptionsTest, AUserNamespaceIsRefusedWithTheRemedy) {
  test::RecordedContainer container = Container();
  container.state.namespace_paths["NEWUSER"] = "";

  EXPECT_THAT(BuildDumpOptions(container.state, container.mounts, ""),
              StatusIs(Code::kFailedPrecondition, HasSubstr("hostUsers")));
}

TEST(DescriptorsJsonTest, HoldsTheDescriptorsAsRuncWritesThem) {
  ContainerState state;
  state.external_descriptors = {"/dev/null", "pipe:[4711]", "pipe:[4712]"};

  EXPECT_EQ(DescriptorsJson(state), R"(["/dev/null","pipe:[4711]","pipe:[4712]"])");
}

TEST(DescriptorsJsonTest, NamesThreeAlsoWhenTheStateNamesNone) {
  EXPECT_EQ(DescriptorsJson(ContainerState{}), R"(["/dev/null","/dev/null","/dev/null"])");
}

TEST(DescriptorsJsonTest, AnyBytesOfAPathBecomeValidJson) {
  ContainerState state;
  state.external_descriptors = {"/a\"b\\c", "/\xff\xfe", "\n"};

  const nlohmann::json parsed =
      nlohmann::json::parse(DescriptorsJson(state), nullptr, /*allow_exceptions=*/false);

  ASSERT_TRUE(parsed.is_array());
  EXPECT_EQ(parsed.at(0), "/a\"b\\c");
  EXPECT_EQ(parsed.at(2), "\n");
}

}  // namespace
}  // namespace cryopod::criu
