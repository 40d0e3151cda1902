#include "restore/container_cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace cryopod::restore {
namespace {

struct Case {
  const char* name;
  const char* cgroups_path;
  const char* path;
};

class ContainerCgroupTest : public ::testing::TestWithParam<Case> {};

TEST_P(ContainerCgroupTest, IsWhereTheRuntimePutsIt) {
  EXPECT_THAT(CgroupPathOf(GetParam().cgroups_path), test::IsOkAnd(std::string(GetParam().path)));
}

INSTANTIATE_TEST_SUITE_P(
    All, ContainerCgroupTest,
    ::testing::Values(
        Case{"cgroupfs", "/kubepods/besteffort/pod1/abc", "/kubepods/besteffort/pod1/abc"},
        Case{"containerd", "/k8s.io/abc", "/k8s.io/abc"},
        Case{"systemd", "kubepods-besteffort-pod1.slice:cri-containerd:abc",
             "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/"
             "cri-containerd-abc.scope"},
        Case{"systemd_plain_slice", "system.slice:runc:abc", "/system.slice/runc-abc.scope"},
        Case{"systemd_without_prefix", "system.slice::abc", "/system.slice/abc.scope"},
        Case{"systemd_root_slice", "-.slice:p:abc", "/p-abc.scope"}),
    [](const auto& entry) { return entry.param.name; });

TEST(ContainerCgroupTest, APathThatCouldNameTheNodeIsRefused) {
  for (const char* path : {"", "/", "//", "/.", "relative", "/a/../..", "/k8s.io/..", "a:b:c"}) {
    EXPECT_THAT(CgroupPathOf(path), test::StatusIs(Code::kInvalidArgument)) << path;
  }
}

TEST(ContainerCgroupTest, TheDirectoryLiesBelowAHierarchyThatCanFreeze) {
  const Result<std::string> directory = CgroupDirectoryOf("/k8s.io/abc");

  ASSERT_THAT(directory, test::IsOk());
  EXPECT_THAT(*directory, ::testing::MatchesRegex("/.*[^/]/k8s.io/abc"));
}

}  // namespace
}  // namespace cryopod::restore
