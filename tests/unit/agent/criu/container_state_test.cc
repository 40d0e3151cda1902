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

namespace fs = std::filesystem;
using cryopod::test::StatusIs;
using cryopod::test::TempDirectory;
using cryopod::test::WriteText;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ContainerStateTest, ReadsWhatRuncWroteAboutAContainerOnCgroupV1) {
  const std::string json = test::ReadTestData("containers/v1.state.json");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ContainerState state, ParseContainerState(json));
  EXPECT_EQ(state.id, "c");
  EXPECT_GT(state.init_pid, 0);
  EXPECT_GT(state.init_start_ticks, 0u);
  EXPECT_EQ(state.rootfs, "/run/containerd/io.containerd.runtime.v2.task/k8s.io/c/rootfs");
  EXPECT_EQ(state.mounts.size(), 10u);
  EXPECT_THAT(state.mask_paths, Contains("/proc/keys"));
  EXPECT_THAT(state.readonly_paths, ElementsAre("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                                "/proc/sysrq-trigger"));
  EXPECT_THAT(state.device_paths, Contains("/dev/null"));
  EXPECT_THAT(state.external_descriptors, ElementsAre("/dev/null", HasSubstr(""), HasSubstr("")));
}

TEST(ContainerStateTest, TellsABindMountFromOtherMounts) {
  const ContainerState state = test::Recorded("v1").state;

  EXPECT_EQ(state.mounts.at(7).destination, "/etc/hosts");
  EXPECT_EQ(state.mounts.at(7).device, "bind");
  EXPECT_EQ(state.mounts.at(6).device, "tmpfs");
}

TEST(ContainerStateTest, TellsAJoinedNamespaceFromOneOfItsOwnAndFromTheNodes) {
  const ContainerState v1 = test::Recorded("v1").state;
  const ContainerState v2 = test::Recorded("v2-tty").state;

  EXPECT_EQ(v1.namespace_paths.at("NEWPID"), "");
  EXPECT_THAT(v1.namespace_paths.at("NEWNET"), HasSubstr("/ns/net"));
  EXPECT_FALSE(v1.namespace_paths.contains("NEWCGROUP"));
  EXPECT_TRUE(v2.namespace_paths.contains("NEWCGROUP"));
}

TEST(ContainerStateTest, MembersThatAreNullAbsentOrOfAnotherTypeAreEmpty) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const ContainerState state,
      ParseContainerState(
          R"({"id":["x"],"init_process_pid":7,"external_descriptors":"x","config":{"rootfs":"/r",
          "mounts":[5,{"destination":{}}],"namespaces":7,"devices":null}})"));

  EXPECT_EQ(state.id, "");
  EXPECT_EQ(state.mounts.size(), 2u);
  EXPECT_THAT(state.device_paths, IsEmpty());
  EXPECT_THAT(state.mask_paths, IsEmpty());
  EXPECT_THAT(state.external_descriptors, IsEmpty());
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

TEST(ContainerStateTest, IsReadBeneathTheRuntimesRootAndNamedWhenItIsAbsentOrBroken) {
  const TempDirectory root;
  EXPECT_THAT(ReadContainerState(root.path(), "c"), StatusIs(Code::kNotFound, HasSubstr("c")));

  fs::create_directory(root.path() / "c");
  WriteText(root.path() / "c/state.json",
            R"({"id":"c","init_process_pid":7,"config":{"rootfs":"/run/c/rootfs"}})");
  EXPECT_EQ(ReadContainerState(root.path(), "c")->init_pid, 7);

  WriteText(root.path() / "c/state.json", "{");
  EXPECT_THAT(ReadContainerState(root.path(), "c"),
              StatusIs(Code::kDataLoss, HasSubstr("c/state.json")));
}

TEST(ContainerStateTest, AnIdCannotLeadOutOfTheRuntimesRoot) {
  const TempDirectory root;

  for (const char* id : {"", ".", "..", "../c", "a/b", "/etc"}) {
    EXPECT_THAT(ReadContainerState(root.path(), id), StatusIs(Code::kInvalidArgument)) << id;
  }
}

class RootfsPathTest : public ::testing::Test {
 protected:
  std::string Resolve(const std::string& path) { return ResolveInRootfs(rootfs_.path(), path); }
  void Link(const std::string& target, const std::string& name) {
    fs::create_directories((rootfs_.path() / name).parent_path());
    fs::create_symlink(target, rootfs_.path() / name);
  }

  TempDirectory rootfs_;
};

TEST_F(RootfsPathTest, FollowsLinksAsTheContainerWouldAndNeverLeavesTheRoot) {
  Link("/run", "var/run");
  Link("../run", "var/lock");
  Link("../../../../../etc", "climbs");
  Link("/srv/deep", "data");
  Link("/run/real", "etc/alias");
  const std::pair<const char*, const char*> paths[] = {
      {"/var/run/secrets/token", "/run/secrets/token"},
      {"/var/lock/secrets", "/run/secrets"},
      {"/climbs/passwd", "/etc/passwd"},
      {"/data/../other", "/srv/other"},  // leaves the directory that the link led to
      {"/etc/alias", "/run/real"},
      {"/../../etc/./hosts", "/etc/hosts"},
      {"/a/b/../c", "/a/c"},
      {"/..", "/"},
      {"//no///such/thing/", "/no/such/thing"},
      {"relative/path", "/relative/path"},
      {"", "/"},
  };
  for (const auto& [path, resolved] : paths) EXPECT_EQ(Resolve(path), resolved) << path;
}

TEST_F(RootfsPathTest, LinksThatLeadInACircleOrGrowWithEachStepEnd) {
  Link("/b", "a");
  Link("/a", "b");
  Link("grows/grows", "grows");

  EXPECT_THAT(Resolve("/a/x"), ::testing::AnyOf("/a/x", "/b/x"));
  EXPECT_FALSE(Resolve("/grows").empty());
}

}  // namespace
}  // namespace cryopod::criu
