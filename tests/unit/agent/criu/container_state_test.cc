#include "agent/criu/container_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "test_data.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using cryopod::test::TempDirectory;
using cryopod::test::WriteText;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr char kSmallest[] =
    R"({"id":"c","init_process_pid":7,"config":{"rootfs":"/run/c/rootfs"}})";

TEST(ContainerStateTest, ReadsWhatRuncWroteAboutAContainerOnCgroupV1) {
  const std::string json = test::ReadTestData("containers/v1.state.json");

  const Result<ContainerState> state = ParseContainerState(json);

  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->id, "c");
  EXPECT_GT(state->init_pid, 0);
  EXPECT_GT(state->init_start_ticks, 0u);
  EXPECT_EQ(state->rootfs, "/run/containerd/io.containerd.runtime.v2.task/k8s.io/c/rootfs");
  EXPECT_EQ(state->mounts.size(), 10u);
  EXPECT_THAT(state->cgroup_paths,
              Contains(Pair("freezer", "/sys/fs/cgroup/freezer/k8s.io/c-v1-no")));
  EXPECT_THAT(state->mask_paths, Contains("/proc/keys"));
  EXPECT_THAT(state->readonly_paths, ElementsAre("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                                 "/proc/sysrq-trigger"));
  EXPECT_THAT(state->device_paths, Contains("/dev/null"));
  EXPECT_THAT(state->external_descriptors, ElementsAre("/dev/null", HasSubstr(""), HasSubstr("")));
}

TEST(ContainerStateTest, TellsABindMountFromOtherMountsAndReadOnlyFromWritable) {
  const ContainerState state = test::Recorded("v1").state;

  const OciMount& hosts = state.mounts.at(7);
  const OciMount& token = state.mounts.at(9);
  const OciMount& scratch = state.mounts.at(6);

  EXPECT_EQ(hosts.destination, "/etc/hosts");
  EXPECT_EQ(hosts.device, "bind");
  EXPECT_FALSE(hosts.read_only);
  EXPECT_EQ(token.destination, "/var/run/secrets/kubernetes.io/serviceaccount");
  EXPECT_TRUE(token.read_only);
  EXPECT_EQ(scratch.device, "tmpfs");
}

TEST(ContainerStateTest, TellsAJoinedNamespaceFromOneOfItsOwnAndFromTheNodes) {
  const ContainerState v1 = test::Recorded("v1").state;
  const ContainerState v2 = test::Recorded("v2-tty").state;

  EXPECT_EQ(v1.namespace_paths.at("NEWPID"), "");
  EXPECT_THAT(v1.namespace_paths.at("NEWNET"), HasSubstr("/ns/net"));
  EXPECT_FALSE(v1.namespace_paths.contains("NEWCGROUP"));
  EXPECT_TRUE(v2.namespace_paths.contains("NEWCGROUP"));
  EXPECT_THAT(v2.cgroup_paths, ElementsAre(Pair("", "/sys/fs/cgroup/k8s.io/c-v2-tty")));
}

TEST(ContainerStateTest, ListsThatAreNullOrAbsentAreEmpty) {
  const Result<ContainerState> state = ParseContainerState(
      R"({"id":"c","init_process_pid":7,"config":{"rootfs":"/r","mounts":null,"devices":null}})");

  ASSERT_THAT(state, IsOk());
  EXPECT_THAT(state->mounts, IsEmpty());
  EXPECT_THAT(state->device_paths, IsEmpty());
  EXPECT_THAT(state->mask_paths, IsEmpty());
  EXPECT_THAT(state->external_descriptors, IsEmpty());
}

TEST(ContainerStateTest, MembersOfAnotherTypeAreNotTakenForValues) {
  const Result<ContainerState> state = ParseContainerState(
      R"({"id":["x"],"init_process_pid":7,"cgroup_paths":[1],"external_descriptors":"x",
          "config":{"rootfs":"/r","mounts":[5,{"destination":{},"flags":"1"}],"namespaces":7}})");

  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->id, "");
  EXPECT_EQ(state->mounts.size(), 2u);
  EXPECT_THAT(state->cgroup_paths, IsEmpty());
}

TEST(ContainerStateTest, RefusesWhatIsNoState) {
  for (const char* json : {
           "",
           "[]",
           "{",
           "null",
           R"({"id":"c"})",
           R"({"init_process_pid":0,"config":{"rootfs":"/r"}})",
           R"({"init_process_pid":-5,"config":{"rootfs":"/r"}})",
           R"({"init_process_pid":99999999,"config":{"rootfs":"/r"}})",
           R"({"init_process_pid":7,"config":{"rootfs":"relative"}})",
           R"({"init_process_pid":7})",
       }) {
    EXPECT_THAT(ParseContainerState(json), StatusIs(Code::kDataLoss)) << json;
  }
}

TEST(ContainerStateTest, ReadsTheStateBeneathTheRuntimesRoot) {
  const TempDirectory root;
  std::filesystem::create_directory(root.path() / "c");
  WriteText(root.path() / "c" / "state.json", kSmallest);

  const Result<ContainerState> state = ReadContainerState(root.path(), "c");

  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->init_pid, 7);
}

TEST(ContainerStateTest, AContainerThatTheRuntimeDoesNotKnowIsNamed) {
  const TempDirectory root;

  const Result<ContainerState> state = ReadContainerState(root.path(), "gone");

  EXPECT_THAT(state, StatusIs(Code::kNotFound, HasSubstr("gone")));
}

TEST(ContainerStateTest, ABrokenStateNamesItsFile) {
  const TempDirectory root;
  std::filesystem::create_directory(root.path() / "c");
  WriteText(root.path() / "c" / "state.json", "{");

  const Result<ContainerState> state = ReadContainerState(root.path(), "c");

  EXPECT_THAT(state, StatusIs(Code::kDataLoss, HasSubstr("c/state.json")));
}

TEST(ContainerStateTest, AnIdCannotLeadOutOfTheRuntimesRoot) {
  const TempDirectory root;

  for (const char* id : {"", ".", "..", "../c", "a/b", "/etc"}) {
    EXPECT_THAT(ReadContainerState(root.path(), id), StatusIs(Code::kInvalidArgument)) << id;
  }
}

}  // namespace
}  // namespace cryopod::criu
