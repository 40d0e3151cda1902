#include "agent/os/cgroup_paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cryopod {
namespace {

using ::testing::HasSubstr;

struct PathCase {
  const char* cgroup_path;
  const char* mount_root;
  PathInMount::Relation relation;
  const char* path;
};

class CgroupPathInMountTest : public ::testing::TestWithParam<PathCase> {};

TEST_P(CgroupPathInMountTest, LiesWhereTheMountShowsIt) {
  const PathInMount found = CgroupPathInMount(GetParam().cgroup_path, GetParam().mount_root);

  EXPECT_EQ(found.relation, GetParam().relation);
  EXPECT_EQ(found.path, GetParam().path);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, CgroupPathInMountTest,
    ::testing::Values(
        // The whole hierarchy.
        PathCase{"/kubepods/pod1/c", "/", PathInMount::kBeneath, "/kubepods/pod1/c"},
        PathCase{"/", "/", PathInMount::kBeneath, ""},
        // A mount of a part of it.
        PathCase{"/kubepods/pod1/c", "/kubepods", PathInMount::kBeneath, "/pod1/c"},
        PathCase{"/kubepods", "/kubepods", PathInMount::kBeneath, ""},
        PathCase{"/kubepodsx/c", "/kubepods", PathInMount::kOutside, ""},
        PathCase{"/system", "/kubepods/pod1", PathInMount::kOutside, ""},
        // The reader's cgroup namespace starts lower than the process and the mount do.
        PathCase{"/../sibling/c", "/..", PathInMount::kBeneath, "/sibling/c"},
        PathCase{"/../../a/b", "/../../a", PathInMount::kBeneath, "/b"},
        PathCase{"/../sibling", "/../other", PathInMount::kOutside, ""},
        PathCase{"/..", "/..", PathInMount::kBeneath, ""},
        // Above what the mount shows.
        PathCase{"/../sibling", "/", PathInMount::kOutside, ""},
        PathCase{"/../..", "/..", PathInMount::kOutside, ""},
        // The mount starts above the namespace: the names on the way down are not to be had.
        PathCase{"/inside", "/../..", PathInMount::kUnknown, ""},
        PathCase{"/../inside", "/../../x", PathInMount::kUnknown, ""}));

TEST(CgroupPathOfTest, FindsTheLineOfAController) {
  constexpr char kText[] =
      "9:name=systemd:/init.scope\n6:freezer:/pods/a:b\n3:cpu,cpuacct:/pods\n0::/unified\n";

  EXPECT_EQ(CgroupPathOf(kText, "freezer"), "/pods/a:b");
  EXPECT_EQ(CgroupPathOf(kText, "cpuacct"), "/pods");
  EXPECT_EQ(CgroupPathOf(kText, "name=systemd"), "/init.scope");
  EXPECT_EQ(CgroupPathOf(kText, ""), "/unified");
  EXPECT_EQ(CgroupPathOf(kText, "memory"), std::nullopt);
  EXPECT_EQ(CgroupPathOf("no colons here\n", ""), std::nullopt);
}

TEST(DescribeCgroupsTest, SaysWhatThereIsToFreeze) {
  EXPECT_EQ(DescribeCgroups("6:freezer:/a\n3:cpu:/c\n0::/b\n"), "freezer:/a, unified:/b");
  EXPECT_THAT(DescribeCgroups("3:cpu:/c\n"), HasSubstr("neither"));
}

TEST(ParseCgroupMountsTest, KnowsTheHierarchiesOfAHybridNode) {
  constexpr char kText[] =
      "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
      "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
      "37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n"
      "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup none rw,xattr,name=systemd\n"
      "41 31 0:38 /../.. /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";

  const std::vector<CgroupMount> mounts = ParseCgroupMounts(kText);

  ASSERT_EQ(mounts.size(), 4u);
  EXPECT_EQ(mounts[0].controllers, "cpu,cpuacct");
  EXPECT_EQ(mounts[0].path, "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(mounts[1].controllers, "freezer");
  EXPECT_EQ(mounts[2].controllers, "name=systemd");
  EXPECT_EQ(mounts[3].controllers, "");
  EXPECT_EQ(mounts[3].root, "/../..");
}

TEST(ParseCgroupMountsTest, OptionsAreNoControllers) {
  const std::vector<CgroupMount> mounts = ParseCgroupMounts(
      "1 2 0:3 / /c rw - cgroup cgroup rw,cpuset,noprefix,clone_children,release_agent=/a\n");

  ASSERT_EQ(mounts.size(), 1u);
  EXPECT_EQ(mounts[0].controllers, "cpuset");
}

TEST(ParseCgroupMountsTest, ALineThatIsNotUnderstoodHidesNoOther) {
  const std::vector<CgroupMount> mounts =
      ParseCgroupMounts("garbage\n\n41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");

  ASSERT_EQ(mounts.size(), 1u);
  EXPECT_EQ(mounts[0].path, "/sys/fs/cgroup");
}

}  // namespace
}  // namespace cryopod
