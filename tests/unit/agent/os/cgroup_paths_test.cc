#include "agent/os/cgroup_paths.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "agent/os/cgroup.h"
#include "agent/os/file.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/support/test_cgroup.h"

namespace cryopod {
namespace {

using test::SpawnIn;
using test::StatusIs;
using ::testing::HasSubstr;

TEST(CgroupPathInMountTest, LiesWhereTheMountShowsIt) {
  const struct {
    const char* cgroup_path;
    const char* mount_root;
    PathInMount::Relation relation;
    const char* path;
  } cases[] = {
      // The whole hierarchy.
      {"/kubepods/pod1/c", "/", PathInMount::kBeneath, "/kubepods/pod1/c"},
      {"/", "/", PathInMount::kBeneath, ""},
      // A mount of a part of it.
      {"/kubepods/pod1/c", "/kubepods", PathInMount::kBeneath, "/pod1/c"},
      {"/kubepods", "/kubepods", PathInMount::kBeneath, ""},
      {"/kubepodsx/c", "/kubepods", PathInMount::kOutside, ""},
      {"/system", "/kubepods/pod1", PathInMount::kOutside, ""},
      // The reader's cgroup namespace starts lower than the process and the mount do.
      {"/../sibling/c", "/..", PathInMount::kBeneath, "/sibling/c"},
      {"/../../a/b", "/../../a", PathInMount::kBeneath, "/b"},
      {"/../sibling", "/../other", PathInMount::kOutside, ""},
      {"/..", "/..", PathInMount::kBeneath, ""},
      // Above what the mount shows.
      {"/../sibling", "/", PathInMount::kOutside, ""},
      {"/../..", "/..", PathInMount::kOutside, ""},
      // The mount starts above the namespace: the names on the way down are not to be had.
      {"/inside", "/../..", PathInMount::kUnknown, ""},
      {"/../inside", "/../../x", PathInMount::kUnknown, ""},
  };
  for (const auto& one : cases) {
    SCOPED_TRACE(std::string(one.cgroup_path) + " in " + one.mount_root);
    const PathInMount found = CgroupPathInMount(one.cgroup_path, one.mount_root);
    EXPECT_EQ(found.relation, one.relation);
    EXPECT_EQ(found.path, one.path);
  }
}

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
  EXPECT_TRUE(HasController(mounts[0].controllers, "cpuacct"));
  EXPECT_FALSE(HasController(mounts[0].controllers, "freezer"));
  EXPECT_EQ(mounts[0].path, "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_TRUE(HasController(mounts[1].controllers, "freezer"));
  EXPECT_TRUE(HasController(mounts[2].controllers, "name=systemd"));
  EXPECT_EQ(mounts[3].controllers, "");
  EXPECT_EQ(mounts[3].root, "/../..");
  EXPECT_EQ(FreezingMount(mounts), &mounts[1]);  // v1 wins
}

TEST(FreezingMountTest, WithoutAFreezerItIsTheUnifiedHierarchyIfThereIsOne) {
  const CgroupMount memory{"rw,memory", "/m", "/"};
  const std::vector<CgroupMount> mounts = {{"", "/unified", "/"}, memory};

  EXPECT_EQ(FreezingMount(mounts), &mounts[0]);
  EXPECT_EQ(FreezingMount({memory}), nullptr);
  EXPECT_EQ(FreezingMount({}), nullptr);
}

TEST(ParseCgroupMountsTest, ALineThatIsNotUnderstoodHidesNoOther) {
  const std::vector<CgroupMount> mounts =
      ParseCgroupMounts("garbage\n\n41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");

  ASSERT_EQ(mounts.size(), 1u);
  EXPECT_EQ(mounts[0].path, "/sys/fs/cgroup");
}

class CgroupOfProcessTest : public ::testing::TestWithParam<CgroupVersion> {
 protected:
  void SetUp() override {
    if (!test_cgroup_.valid()) GTEST_SKIP() << "no such hierarchy to write to on this machine";
  }

  test::TestCgroup test_cgroup_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Versions, CgroupOfProcessTest,
                         ::testing::Values(CgroupVersion::kV1, CgroupVersion::kV2),
                         [](const auto& version) {
                           return version.param == CgroupVersion::kV1 ? "V1" : "V2";
                         });

TEST_P(CgroupOfProcessTest, IsTheLeafThatHoldsIt) {
  const std::string leaf = test_cgroup_.MakeChild("leaf");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, SpawnIn(leaf));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Cgroup cgroup, Cgroup::OfProcess(child.pid()));

  EXPECT_EQ(cgroup.version(), GetParam());
  EXPECT_EQ(cgroup.path(), leaf);
}

// Runs `check` in a child that is itself in the cgroup `home`, has a cgroup namespace that starts
// there, and has the hierarchy mounted at `mount_point`, in mounts of its own. Returns the child's
// exit code.
int RunInCgroupNamespace(const std::string& home, CgroupVersion version,
                         const std::string& mount_point, bool mount_inside,
                         const std::function<int()>& check) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    Result<UniqueFd> dir = OpenDirectory(home);
    if (!dir.ok() || !WriteControlFileAt(dir->get(), "cgroup.procs", "0").ok()) ::_exit(101);
    if (::unshare(CLONE_NEWNS) != 0) ::_exit(102);
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) ::_exit(103);
    const bool is_v1 = version == CgroupVersion::kV1;
    const auto mount_here = [&] {
      return ::mount("cgroup", mount_point.c_str(), is_v1 ? "cgroup" : "cgroup2", 0,
                     is_v1 ? "freezer" : nullptr) == 0;
    };
    if (!mount_inside && !mount_here()) ::_exit(104);
    if (::unshare(CLONE_NEWCGROUP) != 0) ::_exit(105);
    if (mount_inside && !mount_here()) ::_exit(106);
    // Away with the mount that shows everything, so that only the other can be the answer.
    const std::optional<std::string> outer = test::FreezerMount(version);
    if (!outer || ::umount2(outer->c_str(), MNT_DETACH) != 0) ::_exit(107);
    ::_exit(check());
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

// 0 when the process is found in the cgroup of that path; the path is that of the directory.
int ExpectPath(pid_t pid, const std::string& expected) {
  const Result<Cgroup> cgroup = Cgroup::OfProcess(pid);
  if (!cgroup.ok()) {
    ::dprintf(STDERR_FILENO, "%s\n", cgroup.status().message().c_str());
    return 1;
  }
  if (cgroup->path() == expected) return 0;
  ::dprintf(STDERR_FILENO, "found %s instead of %s\n", cgroup->path().c_str(), expected.c_str());
  return 2;
}

TEST_P(CgroupOfProcessTest, IsFoundThroughAMountMadeInACgroupNamespace) {
  test::TempDirectory temp;
  const std::string leaf = test_cgroup_.MakeChild("leaf");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, SpawnIn(leaf));

  const int exit_code =
      RunInCgroupNamespace(test_cgroup_.path(), GetParam(), temp.path(), true,
                           [&] { return ExpectPath(child.pid(), temp.path() / "leaf"); });

  EXPECT_EQ(exit_code, 0);
}

// The mount's root reads "/../.." there, the path of the one "/leaf", of the other "/../sibling".
TEST_P(CgroupOfProcessTest, IsFoundThroughAMountThatStartsAboveTheCgroupNamespace) {
  const std::string home = test_cgroup_.MakeChild("home");
  const std::string name = test_cgroup_.path().substr(test_cgroup_.path().rfind('/') + 1);
  for (const std::string path : {"home/leaf", "sibling"}) {
    SCOPED_TRACE(path);
    test::TempDirectory temp;
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, SpawnIn(test_cgroup_.MakeChild(path)));

    const int exit_code = RunInCgroupNamespace(home, GetParam(), temp.path(), false, [&] {
      return ExpectPath(child.pid(), temp.path() / name / path);
    });

    EXPECT_EQ(exit_code, 0);
  }
}

TEST(CgroupOfProcessTest, TheFreezerOfV1WinsWhereAProcessIsInBoth) {
  const test::TestCgroup v1(CgroupVersion::kV1);
  const test::TestCgroup v2(CgroupVersion::kV2);
  if (!v1.valid() || !v2.valid()) GTEST_SKIP() << "this machine does not have both hierarchies";
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd v1_dir, OpenDirectory(v1.path()));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd v2_dir, OpenDirectory(v2.path()));
  SpawnOptions options;
  options.argv = {"/bin/sleep", "60"};
  options.cgroup_dir_fds = {v1_dir.get(), v2_dir.get()};
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Subprocess child, Subprocess::Spawn(options));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Cgroup cgroup, Cgroup::OfProcess(child.pid()));

  EXPECT_EQ(cgroup.path(), v1.path());
}

TEST(CgroupOfProcessTest, AProcessThatHasEndedIsNotFound) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);

  EXPECT_THAT(Cgroup::OfProcess(pid), StatusIs(Code::kNotFound));
}

TEST(CgroupOfProcessTest, TheRootOfAHierarchyCannotFreeze) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::string own, ReadFile("/proc/self/cgroup"));
  const bool in_roots = CgroupPathOf(own, "freezer").value_or("/") == "/" &&
                        CgroupPathOf(own, "").value_or("/") == "/";
  if (!in_roots) GTEST_SKIP() << "this process is in a cgroup that can freeze";

  EXPECT_THAT(Cgroup::OfProcess(::getpid()),
              StatusIs(Code::kFailedPrecondition, HasSubstr("unified:/")));
}

}  // namespace
}  // namespace cryopod
